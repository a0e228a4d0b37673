// Of solvers; see README.md.
#pragma once

struct cusolverDnContext;
using cusolverDnHandle_t = cusolverDnContext*;
