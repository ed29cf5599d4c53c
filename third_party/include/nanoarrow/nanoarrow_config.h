/* What nanoarrow's own build would generate from nanoarrow_config.h.in: the release that
 * tools/fetch-deps pins, and no symbol prefix (libapiary.so hides these symbols anyway). */
#ifndef NANOARROW_CONFIG_H_INCLUDED
#define NANOARROW_CONFIG_H_INCLUDED

#define NANOARROW_VERSION_MAJOR 0
#define NANOARROW_VERSION_MINOR 9
#define NANOARROW_VERSION_PATCH 0
#define NANOARROW_VERSION "0.9.0"
#define NANOARROW_VERSION_INT \
    (NANOARROW_VERSION_MAJOR * 10000 + NANOARROW_VERSION_MINOR * 100 + NANOARROW_VERSION_PATCH)

#define NANOARROW_CXX_NAMESPACE nanoarrow
#define NANOARROW_CXX_NAMESPACE_BEGIN namespace NANOARROW_CXX_NAMESPACE {
#define NANOARROW_CXX_NAMESPACE_END }

#endif
