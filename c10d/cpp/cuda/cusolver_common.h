// Of solvers; see README.md.
#pragma once

enum cusolverStatus_t : int;
