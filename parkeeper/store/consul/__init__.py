"""The Consul adapter: KV transactions, and a ring of commits for each keeper in place of a history."""
