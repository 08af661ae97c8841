# The dependency rules of CONTRIBUTING.md, held by looking at every #include below ROOT:
#   cmake -DROOT=<source directory> -P architecture_test.cmake
# Names each include that breaks a rule with its file and line.
cmake_minimum_required(VERSION 3.25)

set(violations "")

# Notes that the include `line` of `file` breaks a rule.
function(note_violation file line why)
  file(READ ${file} content)
  string(FIND "${content}" "${line}" place)
  string(SUBSTRING "${content}" 0 ${place} before)
  string(REGEX MATCHALL "\n" newlines "${before}")
  list(LENGTH newlines number)
  math(EXPR number "${number} + 1")
  file(RELATIVE_PATH name ${ROOT} ${file})
  string(STRIP "${line}" line)
  set(violations "${violations}  ${name}:${number}: ${line} (${why})\n" PARENT_SCOPE)
endfunction()

# In files below `folder` that match one of PATTERNS, no include may match FORBIDDEN, and one in quotes must match ALLOWED.
function(hold_rule folder why)
  cmake_parse_arguments(PARSE_ARGV 2 rule "" "FORBIDDEN;ALLOWED" "PATTERNS")
  list(TRANSFORM rule_PATTERNS PREPEND "${ROOT}/${folder}/")
  file(GLOB_RECURSE files ${rule_PATTERNS})
  foreach(file IN LISTS files)
    file(STRINGS ${file} includes REGEX "^[ \t]*#[ \t]*include[ \t]*[\"<]")
    foreach(line IN LISTS includes)
      if((rule_FORBIDDEN AND line MATCHES "${rule_FORBIDDEN}") OR
         (rule_ALLOWED AND line MATCHES "include[ \t]*\"" AND NOT line MATCHES "${rule_ALLOWED}"))
        note_violation(${file} "${line}" "${why}")
      endif()
    endforeach()
  endforeach()
  set(violations "${violations}" PARENT_SCOPE)
endfunction()

set(sources PATTERNS *.hpp *.cpp)
hold_rule(model "model includes only model" ${sources} ALLOWED "\"model/")
hold_rule(model "model knows no files, clocks, threads, protobuf or CAF" ${sources}
          FORBIDDEN "<(caf/|google/protobuf|filesystem>|fstream>|thread>|chrono>|sys/|fcntl.h>|unistd.h>)")
hold_rule(runtime "runtime includes only runtime and model" ${sources} ALLOWED "\"(runtime|model)/")
hold_rule(runtime "runtime knows no CAF and starts no threads" ${sources} FORBIDDEN "<(caf/|thread>|future>|pthread.h>)")
hold_rule(runtime "protobuf's generated headers stay in .cpp files" PATTERNS *.hpp FORBIDDEN "\\.pb\\.h\"")
hold_rule(actors "actors includes only actors, runtime and model" ${sources} ALLOWED "\"(actors|runtime|model)/")
hold_rule(actors "actors knows no layer mathematics and no protobuf" ${sources}
          FORBIDDEN "\"model/(layers|families|optimizers)/|\\.pb\\.h\"|<google/protobuf")
hold_rule(cli "cli includes only cli, actors, runtime and model" ${sources} ALLOWED "\"(cli|actors|runtime|model)/")
foreach(folder examples benchmarks)
  hold_rule(${folder} "only cli and its own tests include cli" ${sources} FORBIDDEN "\"cli/")
endforeach()

if(violations)
  message(FATAL_ERROR "These includes break the dependency rules:\n${violations}")
endif()
