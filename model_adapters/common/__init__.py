"""What adapters share: HTTP, launching and watching servers, vendors, batch endpoints."""
