"""The radiomics stage."""
