"""Remote file systems (object stores, SFTP): addresses, access through fsspec, and the local cache."""
