"""A model that answers over HTTP: its requests, the processes that colour, the page to try it on."""
