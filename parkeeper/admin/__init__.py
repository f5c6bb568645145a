"""What operators ask a keeper: four-letter words. Knows the server only as `parkeeper.admin.status.Status`."""
