"""The native kernels: C++ sources, one idea a file, compiled when they are first needed."""
