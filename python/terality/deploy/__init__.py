"""Self-hosting: ``terality deploy aws`` and ``terality destroy aws``, with what they are made of.

Everything is done with the user's own AWS credentials, from this machine: the scheduler gets a role only when the stack
makes one. boto3 and PyYAML come with the extra ``terality[aws]`` and are imported when a command needs them.
"""
