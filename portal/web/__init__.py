"""What all pages and API handlers share: sessions, CSRF, guards, errors, forms, assets, paging and `page()`."""
