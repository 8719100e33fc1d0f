"""The operations of a decode step in Triton, for GPUs; each is what the torch code of `plugtron.nn` computes.

Whoever imports a module of this package imports Triton: a run on a CPU does not. With TRITON_INTERPRET=1 in the
environment the kernels run anywhere, slowly.
"""
