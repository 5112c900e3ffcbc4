"""The documents as a site: docs/ and a reference that is made of the code (`make docs`)."""
