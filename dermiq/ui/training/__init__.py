"""The training tab: form, runs, plots. The only place in dermiq that imports train."""
