"""A fleet repository with 300 commits by five people for three tenants, with all kinds of mistakes: what users' commands are tried on."""
