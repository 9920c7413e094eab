"""Auto3DSeg algorithm templates: a folder each, as `monai.apps.auto3dseg.BundleGen` copies and fills them."""
