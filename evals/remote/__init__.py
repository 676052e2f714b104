"""File systems elsewhere (object stores, SFTP): addresses, access through fsspec, the local cache of what was read."""
