"""The planner: a request becomes changes, or an error, by ZooKeeper's exact rules; see `parkeeper.tree.plan.rules`."""
