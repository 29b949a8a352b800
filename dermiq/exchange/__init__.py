"""What hospitals and studies bring and take away: folders of images, case bundles, DICOM and FHIR. Knows no page.

An option each: `batch` and `bundle` need nothing more, `dicom` needs pydicom and `fhir` needs fhir.resources, which are
imported where they are used, and whose absence is said in a sentence.
"""
