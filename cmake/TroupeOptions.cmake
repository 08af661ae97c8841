# What the user may choose, and the flags every Troupe target is built with (target troupe_options).
set(TROUPE_GEMM "dnnl" CACHE STRING "Matrix multiplication: dnnl (oneDNN) or eigen")
set_property(CACHE TROUPE_GEMM PROPERTY STRINGS dnnl eigen)
set(TROUPE_ARCH "native" CACHE STRING "The -march of every file. Machines of one run must be built alike: use x86-64-v3 for a mixed fleet")
option(TROUPE_TESTS "Build the tests" ON)
option(TROUPE_BENCHMARKS "Build the benchmarks" ON)
option(TROUPE_EXAMPLES "Build the examples" ON)
# Less than half the time of a build from nothing. It is for scripts and sanitizers: a change compiles more anew, and ccache does
# not see through precompiled headers.
option(TROUPE_QUICK_BUILD "Precompile foreign headers, and compile several files at once" OFF)
set(TROUPE_SANITIZE "" CACHE STRING "Sanitizers to build with: empty, address;undefined or thread")

if(NOT TROUPE_GEMM MATCHES "^(dnnl|eigen)$")
  message(FATAL_ERROR "TROUPE_GEMM: found '${TROUPE_GEMM}', expected dnnl or eigen")
endif()

add_library(troupe_options INTERFACE)
target_compile_features(troupe_options INTERFACE cxx_std_20)
target_include_directories(troupe_options INTERFACE ${PROJECT_SOURCE_DIR})
# No -ffast-math: results are equal to the bit, NaN and infinity included. The two flags below change no result, they only
# let the compiler vectorise loops with square roots and selects.
target_compile_options(troupe_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion -Werror
                       -march=${TROUPE_ARCH} -fno-math-errno -fno-trapping-math)
# Files that are compiled together see each other's names, which may be equal.
if(TROUPE_QUICK_BUILD)
  target_compile_options(troupe_options INTERFACE -Wshadow=local)
else()
  target_compile_options(troupe_options INTERFACE -Wshadow)
endif()
# GCC 12 warns where nothing is wrong: of overlapping copies inside std::string's operator+ (GCC bug 105651), and, without full
# optimisation, of uninitialised values inside its own AVX-512 headers (GCC bug 105593).
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(troupe_options INTERFACE -Wno-restrict -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
foreach(_sanitizer IN LISTS TROUPE_SANITIZE)
  target_compile_options(troupe_options INTERFACE -fsanitize=${_sanitizer} -fno-omit-frame-pointer)
  target_link_options(troupe_options INTERFACE -fsanitize=${_sanitizer})
endforeach()
# These three look at every access to a member, and double the time of compilation. A null pointer that is used ends in
# AddressSanitizer's report all the same; bytes become numbers through memcpy alone.
if("undefined" IN_LIST TROUPE_SANITIZE)
  target_compile_options(troupe_options INTERFACE -fno-sanitize=null,alignment,vptr)
endif()

# Of the headers only foreign ones, so that no change of ours compiles them anew. Each file still includes what it uses: other
# builds, and scripts/lint.sh, need it. Files that are compiled together share one unnamed namespace.
set(TROUPE_STANDARD_HEADERS <algorithm> <array> <bit> <charconv> <cmath> <cstdint> <cstring> <deque> <filesystem> <functional>
    <limits> <map> <memory> <numeric> <optional> <set> <span> <string> <string_view> <utility> <variant> <vector>)
function(troupe_quick_build target)
  if(TROUPE_QUICK_BUILD)
    target_precompile_headers(${target} PRIVATE ${TROUPE_STANDARD_HEADERS} ${ARGN})
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
    # GCC 12 sees accesses beyond std::string's end where there are none when it optimises what it has precompiled.
    if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
      target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-Wno-array-bounds$<SEMICOLON>-Wno-stringop-overflow$<SEMICOLON>-Wno-stringop-overread>)
    endif()
  endif()
endfunction()
