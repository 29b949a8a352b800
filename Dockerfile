# The page in a container, for a machine of your own or a Space with `sdk: docker`; docs/deploy.md says more.
#
#     docker build -t dermiq .
#     docker run -p 7860:7860 dermiq                              # http://localhost:7860
#     docker run -p 7860:7860 --read-only --tmpfs /tmp dermiq     # nothing is written but what is temporary
#
# PyTorch comes with gigabytes for GPUs unless pip is shown PyTorch's own index of builds for CPUs as well:
# --build-arg PIP_EXTRA_INDEX_URL=..., or a variable of that name in a Space's settings.
FROM python:3.11-slim

ARG PIP_EXTRA_INDEX_URL=""
ENV PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=passive DERMIQ_HOST=0.0.0.0 DERMIQ_CACHE=/home/dermiq/models

RUN useradd --create-home --uid 1000 dermiq
WORKDIR /home/dermiq/app
COPY requirements.txt ./
RUN pip install --no-cache-dir --requirement requirements.txt

USER dermiq
COPY --chown=dermiq . ./
RUN python -m dermiq.vlm.base
RUN python -m dermiq examples

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:7860/robots.txt', timeout=5)"]
CMD ["python", "app.py"]
