"""etcd as a store, through its v3 JSON gateway (etcd 3.4 and later)."""
