"""The sections of the report; each function gives the blocks of one part."""
