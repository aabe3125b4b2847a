"""The documentation as a site, as far as it is written from code: what mkdocs.yml does not say."""
