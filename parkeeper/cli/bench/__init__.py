"""`parkeeper bench`: a load generator for any server that speaks ZooKeeper's protocol.

One process asks (`driver`), or several; the one the user started (`crew`) makes the znodes, starts them, shows how far
they are, adds up what they counted (`figures`), and removes the znodes. What is asked is in `load` and `asking`.
"""
