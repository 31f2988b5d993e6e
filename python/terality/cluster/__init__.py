"""Starting schedulers and workers: on this machine (``terality up``) and on the nodes of a Ray cluster."""
