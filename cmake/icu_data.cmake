# ICU's static data library is 30 MB of locales, of which mrs reads one table: compatibility normal forms (NFKC, NFKD).
# Sets MRS_ICUDATA_LIBRARY to a library of that table alone; where ICU's tools or its static data are not there, to ICU's.
function(mrs_find_icu_data)
  find_library(MRS_ICUDATA_WHOLE NAMES libicudata.a icudata REQUIRED)
  find_program(MRS_ICUPKG icupkg)
  set(whole ${MRS_ICUDATA_WHOLE})
  set(MRS_ICUDATA_LIBRARY ${whole} PARENT_SCOPE)
  if(NOT whole MATCHES "\\.a$" OR NOT MRS_ICUPKG OR NOT CMAKE_OBJCOPY OR NOT CMAKE_AR)
    message(STATUS "mrs: ICU's data: ${whole}, whole")
    return()
  endif()
  execute_process(COMMAND ${CMAKE_AR} t ${whole} OUTPUT_VARIABLE member OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT member MATCHES "^(icudt([0-9]+)l)_dat\\.o$")
    message(STATUS "mrs: ICU's data: ${whole}, whole: its member is ${member}")
    return()
  endif()
  set(package ${CMAKE_MATCH_1})  # icudt72l: of version 72, little-endian; the table of contents starts with it
  set(symbol icudt${CMAKE_MATCH_2}_dat)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/icu)
  set(data ${folder}/less/${package}.dat)
  file(MAKE_DIRECTORY ${folder}/less)
  file(WRITE ${folder}/kept.txt "nfkc.nrm\n")
  foreach(command
      "${CMAKE_AR}@x@${whole}@${member}"
      "${CMAKE_OBJCOPY}@-O@binary@--only-section=.rodata@${member}@${package}.dat"
      "${MRS_ICUPKG}@-x@kept.txt@-d@.@${package}.dat"
      "${MRS_ICUPKG}@-a@kept.txt@-s@.@new@${data}")
    string(REPLACE "@" ";" command "${command}")
    execute_process(COMMAND ${command} WORKING_DIRECTORY ${folder} RESULT_VARIABLE failed ERROR_VARIABLE why)
    if(failed)
      message(STATUS "mrs: ICU's data: ${whole}, whole: ${why}")
      return()
    endif()
  endforeach()
  file(REMOVE ${folder}/${member} ${folder}/${package}.dat)
  file(CONFIGURE OUTPUT ${folder}/icu_data.cc CONTENT [[
// The name under which libicuuc looks for its data.
__asm__(".section .rodata\n.balign 16\n.globl @symbol@\n.type @symbol@, @object\n@symbol@:\n"
        ".incbin \"@data@\"\n.size @symbol@, . - @symbol@\n.previous\n");
]] @ONLY)
  add_library(mrs_icu_data STATIC ${folder}/icu_data.cc)
  set(MRS_ICUDATA_LIBRARY mrs_icu_data PARENT_SCOPE)
endfunction()
