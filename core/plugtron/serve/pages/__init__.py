"""The server's pages in a browser: plain files, and the data that they ask for."""
