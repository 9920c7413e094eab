"""Algorithm template: SegResNetDS, trained in-process."""
