// Of products of matrices; see README.md.
#pragma once

struct cublasLtContext;
using cublasLtHandle_t = cublasLtContext*;
