"""How hosts join: by a token or a platform's word, if git knows them and policy agrees."""
