# What makes no sense is refused with exit code 2 and says why.
#   cmake -DPROGRAM=troupe_simtest -P flags_test.cmake
cmake_minimum_required(VERSION 3.25)

function(expect_code code text)
  execute_process(COMMAND ${PROGRAM} ${ARGN} OUTPUT_VARIABLE _out ERROR_VARIABLE _err RESULT_VARIABLE _code)
  if(NOT _code EQUAL code OR NOT "${_out}${_err}" MATCHES "${text}")
    message(FATAL_ERROR "${ARGN}: found exit code ${_code} and '${_out}${_err}', expected ${code} and '${text}'")
  endif()
endfunction()

foreach(_seeds 7..3 x 1..y ..5 -1 1..18446744073709551615)
  expect_code(2 "--seeds: found '${_seeds}'" --seeds=${_seeds})
endforeach()
expect_code(2 "expected one seed" --seeds 1..2 --verbose)
expect_code(2 "--jobs" --jobs 0)
expect_code(2 "--unknown" --unknown)
expect_code(0 "Exit codes" --help)
