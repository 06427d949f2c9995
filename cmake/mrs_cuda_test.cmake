# What mrs_cuda.cmake and mrs_nvcc.cmake make of options and variables, of good ones and of wrong ones:
#   cmake -P cmake/mrs_cuda_test.cmake
# Each case is a `cmake -P` of its own, with an nvcc, a host compiler and an nvidia-smi of shell in its PATH; where a real
# nvcc is, what it knows is asked of it, too. Nothing is compiled.
cmake_minimum_required(VERSION 3.25)
set(folder ${CMAKE_CURRENT_BINARY_DIR}/mrs_cuda_test_files)
set(here ${CMAKE_CURRENT_LIST_DIR})
set(read_variables CUDA_COMPUTE_CAP NVCC_CCBIN CUDA_NVCC_FLAGS MISTRALRS_INSTALL_NCCL MISTRALRS_INSTALL_NO_NCCL)
set(failures 0)
set(cases 0)

# case("what" [ENV name=value...] DO [[code]] [REFUSED] [SAYS text...] [SAYS_NOT text...]): the code runs where the modules
# are included; all of SAYS must be in its output, however that is broken into lines, and it must fail if REFUSED alone.
function(case what)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "REFUSED" "DO" "ENV;SAYS;SAYS_NOT")
  foreach(name ${read_variables} FAKE_GPUS)
    unset(ENV{${name}})
  endforeach()
  foreach(pair IN LISTS ARG_ENV)
    string(REGEX MATCH "^([^=]+)=(.*)$" pair "${pair}")
    set(ENV{${CMAKE_MATCH_1}} "${CMAKE_MATCH_2}")
  endforeach()
  file(WRITE ${folder}/case.cmake
    "cmake_minimum_required(VERSION 3.25)\ninclude(${here}/mrs_cuda.cmake)\ninclude(${here}/mrs_nvcc.cmake)\n"
    "set(folder ${folder})\nset(MRS_CUDA AUTO)\nset(MRS_NCCL AUTO)\nset(MRS_CUBLASLT AUTO)\n"
    "macro(read_all)\n mrs_environment(CUDA_COMPUTE_CAP)\n mrs_environment(NVCC_CCBIN)\n mrs_environment(CUDA_NVCC_FLAGS)\n"
    " mrs_environment(MISTRALRS_INSTALL_NCCL MISTRALRS_INSTALL_NO_NCCL)\nendmacro()\n"
    "macro(show_flags)\n read_all()\n mrs_nvcc_flags(\${nvcc} \"-O3;-Xptxas;-v\" flags)\n"
    " message(STATUS \"FLAGS=\${flags}.\")\n message(STATUS \"DEVICES=\${flags_devices}.\")\nendmacro()\n"
    "macro(show_nccl)\n read_all()\n mrs_decide_libraries()\n message(STATUS \"NCCL=\${MRS_NCCL}.\")\nendmacro()\n"
    "set(nvcc ${nvcc})\n${ARG_DO}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -P ${folder}/case.cmake
    OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE status)
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  set(wrong "")
  if(ARG_REFUSED AND status EQUAL 0)
    string(APPEND wrong "\n  expected a refusal")
  elseif(NOT ARG_REFUSED AND NOT status EQUAL 0)
    string(APPEND wrong "\n  expected no refusal")
  endif()
  foreach(text IN LISTS ARG_SAYS)
    string(FIND "${output}" "${text}" at)
    if(at EQUAL -1)
      string(APPEND wrong "\n  expected: ${text}")
    endif()
  endforeach()
  foreach(text IN LISTS ARG_SAYS_NOT)
    string(FIND "${output}" "${text}" at)
    if(NOT at EQUAL -1)
      string(APPEND wrong "\n  expected not: ${text}")
    endif()
  endforeach()
  math(EXPR cases "${cases} + 1")
  set(cases ${cases} PARENT_SCOPE)
  if(wrong)
    math(EXPR failures "${failures} + 1")
    set(failures ${failures} PARENT_SCOPE)
    if(NOT what STREQUAL "control")
      message("${what}:${wrong}\n  actual: ${output}")
    endif()
  endif()
endfunction()

function(write_program path text)
  file(WRITE ${path} "#!/bin/sh\n${text}")
  file(CHMOD ${path} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endfunction()
file(REMOVE_RECURSE ${folder})
# An nvcc that knows 80, 86, 90, 90a, 100 and 120.
write_program(${folder}/bin/nvcc [=[
if [ "$1" = --list-gpu-arch ]; then echo compute_80; echo compute_86; exit 0; fi
host=host-compiler
while [ $# -gt 0 ]; do
  case "$1" in
    -gencode)
      architecture=${2#arch=compute_}
      case "${architecture%%,*}" in
        80|86|90|90a|100|120) ;;
        *) echo "nvcc fatal   : Unsupported gpu architecture 'compute_${architecture%%,*}'" >&2; exit 1 ;;
      esac
      shift ;;
    -ccbin) host=$2; shift ;;
    --banana) echo "nvcc fatal   : Unknown option '--banana'" >&2; exit 1 ;;
  esac
  shift
done
echo "#\$ TOP=/somewhere" >&2
echo "#\$ $host -std=c++20 -D__CUDA_ARCH_LIST__=800 -E x.cu" >&2
]=])
write_program(${folder}/bin/host-compiler "echo 'host-compiler 1.2.3'; echo Copyright\n")
write_program(${folder}/bin/other-compiler "echo 'other-compiler 4.5.6'\n")
write_program(${folder}/gpu/nvidia-smi [=[
[ -n "$FAKE_GPUS" ] || { echo "NVIDIA-SMI 9.0 has failed"; exit 9; }
for capability in $FAKE_GPUS; do echo "$capability"; done
]=])
file(WRITE ${folder}/include/nccl.h "#define NCCL_MAJOR 2\n#define NCCL_MINOR 28\n#define NCCL_PATCH 9\n")
file(WRITE ${folder}/unversioned/nccl.h "int ncclInit();\n")
set(whole_path "$ENV{PATH}")
set(ENV{PATH} ${folder}/bin)
set(nvcc ${folder}/bin/nvcc)
set(sm_80 "-gencode;arch=compute_80,code=sm_80")
set(sm_90 "-gencode;arch=compute_90,code=sm_90")
set(ptx_90 "-gencode;arch=compute_90,code=compute_90")
set(own "FLAGS=-O3;-Xptxas;-v")

# Architectures.
case("nothing set: what the build has always had" DO [[show_flags()]]
  SAYS "${own};${sm_80};${sm_90};-gencode;arch=compute_100,code=sm_100;-gencode;arch=compute_120,code=sm_120;-gencode;arch=compute_120,code=compute_120."
    "DEVICES=sm_80;sm_90;sm_100;sm_120." "nvcc's host compiler: host-compiler (host-compiler 1.2.3)"
    "CUDA architectures: sm_80, sm_90, sm_100, sm_120, PTX of compute_120 (by default)"
  SAYS_NOT "no PTX" "nvcc's flags")
foreach(value 90 9.0 " 90 " "90,9.0" "90;90")
  case("CUDA_COMPUTE_CAP=${value}" ENV "CUDA_COMPUTE_CAP=${value}" DO [[show_flags()]]
    SAYS "${own};${sm_90};${ptx_90}." "DEVICES=sm_90." "(CUDA_COMPUTE_CAP=")
endforeach()
foreach(value "80;90" "80,90" "8.0, 9.0" "80 90")
  case("CUDA_COMPUTE_CAP=${value}" ENV "CUDA_COMPUTE_CAP=${value}" DO [[show_flags()]]
    SAYS "${own};${sm_80};${sm_90};${ptx_90}.")
endforeach()
case("the capability that a device's refusal advises" ENV CUDA_COMPUTE_CAP=120 DO [[show_flags()]]
  SAYS "FLAGS=-O3;-Xptxas;-v;-gencode;arch=compute_120,code=sm_120;-gencode;arch=compute_120,code=compute_120.")
case("a capability with a letter" ENV CUDA_COMPUTE_CAP=9.0a DO [[show_flags()]]
  SAYS "${own};-gencode;arch=compute_90a,code=sm_90a." "no PTX, so devices that are newer")
foreach(value banana 9 0.9 90- 90b 9.0.0 -90 sm_90 native "," "80;banana" "90;\$(x)")
  case("CUDA_COMPUTE_CAP=${value}" ENV "CUDA_COMPUTE_CAP=${value}" DO [[show_flags()]] REFUSED
    SAYS "CUDA_COMPUTE_CAP=" "expected compute capabilities from 8.0 on" SAYS_NOT "FLAGS=")
endforeach()
case("what is wrong is named" ENV CUDA_COMPUTE_CAP=80,banana DO [[show_flags()]] REFUSED
  SAYS "CUDA_COMPUTE_CAP=80,banana: `banana`: expected compute capabilities from 8.0 on, joined by `,` or `;`, as 90 or 8.0,9.0")
case("too old" ENV CUDA_COMPUTE_CAP=7.5 DO [[show_flags()]] REFUSED
  SAYS "CUDA_COMPUTE_CAP=7.5: `75`: the kernels need compute capability 8.0 or later")
case("the option's suffixes" ENV CUDA_COMPUTE_CAP=90-real DO [[show_flags()]] REFUSED
  SAYS "-real and -virtual are for -DCMAKE_CUDA_ARCHITECTURES")
case("what nvcc does not know" ENV CUDA_COMPUTE_CAP=130 DO [[show_flags()]] REFUSED
  SAYS "(CUDA_COMPUTE_CAP=130)" "nvcc fatal : Unsupported gpu architecture 'compute_130'" "compute_80 compute_86")
case("set empty" ENV CUDA_COMPUTE_CAP= DO [[show_flags()]] SAYS "(by default)")

foreach(pair "80-real>${sm_80}" "90-virtual>${ptx_90}" "80-real;90>${sm_80};${sm_90};${ptx_90}" "80;90-real>${sm_80};${sm_90}"
    "80-real;90-virtual>${sm_80};${ptx_90}" "90a>-gencode;arch=compute_90a,code=sm_90a"
    "80;90a-real>${sm_80};-gencode;arch=compute_90a,code=sm_90a" "80;80;90>${sm_80};${sm_90};${ptx_90}"
    "90;90-real;90-virtual>${sm_90};${ptx_90}" "90a-virtual>-gencode;arch=compute_90a,code=compute_90a")
  string(FIND "${pair}" ">" at)
  string(SUBSTRING "${pair}" 0 ${at} given)
  math(EXPR at "${at} + 1")
  string(SUBSTRING "${pair}" ${at} -1 made)
  case("CMAKE_CUDA_ARCHITECTURES=${given}" DO "set(CMAKE_CUDA_ARCHITECTURES \"${given}\")\nshow_flags()"
    SAYS "${own};${made}." "(CMAKE_CUDA_ARCHITECTURES=${given})")
endforeach()
foreach(given banana 9.0 80,90 "80 90" 90-banana 90-real-virtual 80a90 sm_90 OFF "80;native" "80;all")
  case("CMAKE_CUDA_ARCHITECTURES=${given}" DO "set(CMAKE_CUDA_ARCHITECTURES \"${given}\")\nshow_flags()" REFUSED
    SAYS "CMAKE_CUDA_ARCHITECTURES=${given}: `" "expected numbers from 80 on" SAYS_NOT "FLAGS=")
endforeach()
case("too old, by option" DO [[set(CMAKE_CUDA_ARCHITECTURES 75-virtual)
show_flags()]] REFUSED SAYS "CMAKE_CUDA_ARCHITECTURES=75-virtual: `75-virtual`: the kernels need compute capability 8.0 or later")
case("a letter that nvcc does not know" DO [[set(CMAKE_CUDA_ARCHITECTURES 80a)
show_flags()]] REFUSED SAYS "Unsupported gpu architecture 'compute_80a'" "(CMAKE_CUDA_ARCHITECTURES=80a)")
foreach(given all all-major)
  case("${given}" DO "set(CMAKE_CUDA_ARCHITECTURES ${given})\nshow_flags()" REFUSED
    SAYS "CMAKE_CUDA_ARCHITECTURES=${given} is not taken" "leave it out for 80;90;100;120")
endforeach()
case("the option wins, and that is said" ENV CUDA_COMPUTE_CAP=banana DO [[set(CMAKE_CUDA_ARCHITECTURES 90)
show_flags()]] SAYS "${own};${sm_90};${ptx_90}."
  "CUDA_COMPUTE_CAP=banana is not heeded: CMAKE_CUDA_ARCHITECTURES=90 is given, and wins")

set(native "set(CMAKE_CUDA_ARCHITECTURES native)\nshow_flags()")
case("native, no nvidia-smi" DO "${native}" REFUSED
  SAYS "CMAKE_CUDA_ARCHITECTURES=native: expected nvidia-smi to tell" "as -DCMAKE_CUDA_ARCHITECTURES=90")
set(ENV{PATH} ${folder}/bin:${folder}/gpu)
case("native, no GPU" DO "${native}" REFUSED SAYS "it ended with `9`: NVIDIA-SMI 9.0 has failed")
case("native, words for numbers" ENV "FAKE_GPUS=[N/A]" DO "${native}" REFUSED SAYS "it ended with `0`: [N/A]")
case("native" ENV "FAKE_GPUS=9.0 8.0 9.0" DO "${native}" SAYS "${own};${sm_80};${sm_90};${ptx_90}."
  "CMAKE_CUDA_ARCHITECTURES=native, by nvidia-smi 80;90)")
case("native, a GPU that is too old" ENV "FAKE_GPUS=7.5" DO "${native}" REFUSED SAYS "`75`: the kernels need")

# The host compiler and other flags.
set(default_end "code=compute_120")
case("NVCC_CCBIN" ENV NVCC_CCBIN=other-compiler DO [[show_flags()]]
  SAYS "${default_end};-ccbin;other-compiler." "host compiler: other-compiler (other-compiler 4.5.6)" "by NVCC_CCBIN")
case("NVCC_CCBIN, a path" ENV NVCC_CCBIN=${folder}/bin/other-compiler DO [[show_flags()]]
  SAYS "${default_end};-ccbin;${folder}/bin/other-compiler.")
case("NVCC_CCBIN, a folder" ENV NVCC_CCBIN=${folder}/bin DO [[show_flags()]] SAYS "${default_end};-ccbin;${folder}/bin.")
case("NVCC_CCBIN, none" ENV NVCC_CCBIN=no-such-compiler DO [[show_flags()]] REFUSED
  SAYS "NVCC_CCBIN=no-such-compiler: there is no such program" "expected the host compiler for nvcc")
foreach(value "-lineinfo -Xptxas=-O2" "-lineinfo;-Xptxas=-O2" "  -lineinfo \n -Xptxas=-O2")
  case("CUDA_NVCC_FLAGS" ENV "CUDA_NVCC_FLAGS=${value}" DO [[show_flags()]]
    SAYS "${default_end};-lineinfo;-Xptxas=-O2." "nvcc's flags: -lineinfo -Xptxas=-O2, by CUDA_NVCC_FLAGS")
endforeach()
case("a quoted flag is one" ENV "CUDA_NVCC_FLAGS=-DA='b c'" DO [[show_flags()]] SAYS "${default_end};-DA=b c.")
case("both" ENV NVCC_CCBIN=other-compiler CUDA_NVCC_FLAGS=-lineinfo DO [[show_flags()]]
  SAYS "${default_end};-ccbin;other-compiler;-lineinfo.")
case("a flag that nvcc does not know" ENV CUDA_NVCC_FLAGS=--banana DO [[show_flags()]] REFUSED
  SAYS "CUDA_NVCC_FLAGS=--banana: expected flags that" "Unknown option '--banana'")
foreach(flag -use_fast_math --use_fast_math -fmad=true --fmad=true -ftz=false -prec-div=false -prec-sqrt=false -Xptxas=-fmad=true)
  case("${flag}" ENV "CUDA_NVCC_FLAGS=-lineinfo ${flag}" DO [[show_flags()]] REFUSED
    SAYS "CUDA_NVCC_FLAGS: `${flag}`: expected no flag that changes what sums are")
endforeach()
foreach(flag -arch=sm_90 -gencode --generate-code=arch=compute_90,code=sm_90)
  case("${flag}" ENV "CUDA_NVCC_FLAGS=${flag}" DO [[show_flags()]] REFUSED
    SAYS "CUDA_NVCC_FLAGS: `${flag}`: expected no architecture here")
endforeach()
case("-ccbin" ENV "CUDA_NVCC_FLAGS=-ccbin other-compiler" DO [[show_flags()]] REFUSED SAYS "give it as NVCC_CCBIN=g++-12")

# What was set stays set until it is set anew, or empty.
case("remembered" DO [[set(ENV{CUDA_COMPUTE_CAP} 90)
read_all()
mrs_remember_environment()
unset(ENV{CUDA_COMPUTE_CAP})
show_flags()]] SAYS "${own};${sm_90};${ptx_90}." "CUDA_COMPUTE_CAP=90, as when this folder was last configured;")
case("set anew" DO [[set(ENV{CUDA_COMPUTE_CAP} 80)
read_all()
mrs_remember_environment()
set(ENV{CUDA_COMPUTE_CAP} 90)
show_flags()]] SAYS "${own};${sm_90};${ptx_90}." SAYS_NOT "as when")
case("not kept before all is well" DO [[set(ENV{CUDA_COMPUTE_CAP} banana)
read_all()
unset(ENV{CUDA_COMPUTE_CAP})
show_flags()]] SAYS "(by default)" SAYS_NOT "as when")
case("forgotten" DO [[set(ENV{CUDA_COMPUTE_CAP} 80)
read_all()
mrs_remember_environment()
set(ENV{CUDA_COMPUTE_CAP} "")
show_flags()]] SAYS "(by default)" SAYS_NOT "as when")
case("one choice of two variables" DO [[set(ENV{MISTRALRS_INSTALL_NCCL} 1)
read_all()
mrs_remember_environment()
unset(ENV{MISTRALRS_INSTALL_NCCL})
set(ENV{MISTRALRS_INSTALL_NO_NCCL} 1)
show_nccl()]] SAYS "NCCL=OFF.")

# NCCL: who decides.
case("neither" DO [[show_nccl()]] SAYS "NCCL=AUTO.")
case("with" ENV MISTRALRS_INSTALL_NCCL=1 DO [[show_nccl()]] SAYS "NCCL=ON." SAYS_NOT "heeded")
case("without" ENV MISTRALRS_INSTALL_NO_NCCL=1 DO [[show_nccl()]] SAYS "NCCL=OFF." SAYS_NOT "heeded")
case("0 is not set" ENV MISTRALRS_INSTALL_NCCL=0 MISTRALRS_INSTALL_NO_NCCL=1 DO [[show_nccl()]] SAYS "NCCL=OFF.")
case("both" ENV MISTRALRS_INSTALL_NCCL=1 MISTRALRS_INSTALL_NO_NCCL=1 DO [[show_nccl()]] REFUSED
  SAYS "MISTRALRS_INSTALL_NCCL=1 and MISTRALRS_INSTALL_NO_NCCL=1 contradict each other")
foreach(name MISTRALRS_INSTALL_NCCL MISTRALRS_INSTALL_NO_NCCL)
  case("${name}=yes" ENV ${name}=yes DO [[show_nccl()]] REFUSED SAYS "${name}=yes: expected 1, or 0")
endforeach()
case("the option wins: OFF" ENV MISTRALRS_INSTALL_NCCL=1 DO [[set(MRS_NCCL OFF)
show_nccl()]] SAYS "NCCL=OFF." "MISTRALRS_INSTALL_NCCL=1 is not heeded: MRS_NCCL=OFF is given, and wins")
case("the option wins: ON" ENV MISTRALRS_INSTALL_NO_NCCL=1 DO [[set(MRS_NCCL ON)
show_nccl()]] SAYS "NCCL=ON." "MISTRALRS_INSTALL_NO_NCCL=1 is not heeded: MRS_NCCL=ON is given, and wins")
case("they agree" ENV MISTRALRS_INSTALL_NCCL=1 DO [[set(MRS_NCCL ON)
show_nccl()]] SAYS "NCCL=ON." SAYS_NOT "heeded")

# NCCL: its header. A name that is nowhere stands for a host without it.
set(look "mrs_library_header(got MRS_NCCL NCCL nccl.h VERSION nccl.h NCCL PACKAGE libnccl-dev HINTS \${folder}/include)\nmessage(STATUS \"GOT=\${got}.\")")
string(REPLACE "NCCL nccl.h VERSION" "NCCL no_such_nccl.h VERSION" look_in_vain "${look}")
string(REPLACE "/include" "/unversioned" look_unversioned "${look}")
case("found" DO "show_nccl()\n${look}" SAYS "mrs: NCCL: 2.28.9 (${folder}/include/nccl.h)" "GOT=${folder}/include.")
case("found, wanted" ENV MISTRALRS_INSTALL_NCCL=1 DO "show_nccl()\n${look}" SAYS "mrs: NCCL: 2.28.9" "GOT=${folder}/include.")
case("found, not wanted" ENV MISTRALRS_INSTALL_NO_NCCL=1 DO "show_nccl()\n${look}"
  SAYS "mrs: NCCL: none, because of MISTRALRS_INSTALL_NO_NCCL=1" "GOT=.")
case("OFF" DO "set(MRS_NCCL OFF)\nshow_nccl()\n${look}" SAYS "mrs: NCCL: none, because of MRS_NCCL=OFF" "GOT=.")
case("no version" DO "show_nccl()\n${look_unversioned}" SAYS "mrs: NCCL: of unknown version (" "GOT=${folder}/unversioned.")
case("missing" DO "show_nccl()\n${look_in_vain}"
  SAYS "mrs: NCCL: none: there is no no_such_nccl.h (libnccl-dev has it)" "GOT=.")
case("missing, wanted" ENV MISTRALRS_INSTALL_NCCL=1 DO "show_nccl()\n${look_in_vain}" REFUSED
  SAYS "MISTRALRS_INSTALL_NCCL=1, but there is no no_such_nccl.h; install libnccl-dev, or")
case("missing, ON" DO "set(MRS_NCCL ON)\nshow_nccl()\n${look_in_vain}" REFUSED SAYS "MRS_NCCL=ON, but there is no no_such_nccl.h")

# The toolkit.
set(have "message(STATUS \"HAVE=\${MRS_HAVE_CUDA}.\")")
case("AUTO, found" DO "mrs_decide_cuda(TRUE 13.0.88 /x/nvcc)\n${have}" SAYS "mrs: CUDA: toolkit 13.0.88, /x/nvcc" "HAVE=ON.")
case("ON, found" DO "set(MRS_CUDA ON)\nmrs_decide_cuda(TRUE 13.0.88 /x/nvcc)\n${have}" SAYS "toolkit 13.0.88" "HAVE=ON.")
case("sanitized" DO "set(MRS_SANITIZE thread)\nmrs_decide_cuda(TRUE 13.0.88 /x/nvcc)\n${have}"
  SAYS "no kernels for devices are built with MRS_SANITIZE=thread" "HAVE=ON.")
case("AUTO, none" DO "mrs_decide_cuda(\"\" \"\" \"\")\n${have}"
  SAYS "mrs: CUDA: none: no CUDA toolkit was found" "HAVE=OFF." SAYS_NOT "no effect")
case("AUTO, no nvcc" DO "mrs_decide_cuda(TRUE 13.0.88 CUDAToolkit_NVCC_EXECUTABLE-NOTFOUND)\n${have}"
  SAYS "mrs: CUDA: none: the CUDA toolkit 13.0.88 that was found has no nvcc" "HAVE=OFF.")
case("AUTO, too old" DO "mrs_decide_cuda(TRUE 12.4.131 /x/nvcc)\n${have}"
  SAYS "mrs: CUDA: none: the CUDA toolkit 12.4.131 that was found is too old, 12.5 is needed" "HAVE=OFF.")
case("ON, none" DO "set(MRS_CUDA ON)\nmrs_decide_cuda(FALSE \"\" \"\")" REFUSED
  SAYS "MRS_CUDA=ON, but no CUDA toolkit was found" "-DMRS_CUDA=AUTO")
case("OFF, found" DO "set(MRS_CUDA OFF)\nmrs_decide_cuda(TRUE 13.0.88 /x/nvcc)\n${have}"
  SAYS "mrs: CUDA: none, because of MRS_CUDA=OFF" "HAVE=OFF.")
case("what has no effect without CUDA"
  ENV CUDA_COMPUTE_CAP=banana NVCC_CCBIN=nowhere CUDA_NVCC_FLAGS=--banana MISTRALRS_INSTALL_NCCL=1
  DO "set(MRS_CUDA OFF)\nset(CMAKE_CUDA_ARCHITECTURES 90)\nset(MRS_CUBLASLT ON)\nshow_nccl()\nmrs_decide_cuda(FALSE \"\" \"\")"
  SAYS "CUDA_COMPUTE_CAP=banana has no effect" "NVCC_CCBIN=nowhere has no effect" "CUDA_NVCC_FLAGS=--banana has no effect"
    "CMAKE_CUDA_ARCHITECTURES=90 has no effect" "MISTRALRS_INSTALL_NCCL=1 has no effect" "MRS_CUBLASLT=ON has no effect")
foreach(option MRS_CUDA MRS_NCCL MRS_CUBLASLT)
  case("${option}=banana" DO "set(${option} banana)\nmrs_check_three_valued(${option})" REFUSED
    SAYS "${option}=banana: expected AUTO (use it when found), ON or OFF")
  foreach(value AUTO ON OFF)
    case("${option}=${value}" DO "set(${option} ${value})\nmrs_check_three_valued(${option})")
  endforeach()
endforeach()

# A real nvcc, where there is one.
set(ENV{PATH} "${whole_path}")
find_program(real nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES bin NO_CACHE)
if(real)
  set(nvcc ${real})
  case("real: taken" ENV "CUDA_COMPUTE_CAP=8.0,9.0" CUDA_NVCC_FLAGS=-lineinfo DO [[show_flags()]]
    SAYS "${own};${sm_80};${sm_90};${ptx_90};-lineinfo." SAYS_NOT "host compiler:  (")
  case("real: no such architecture" DO [[set(CMAKE_CUDA_ARCHITECTURES 80a)
show_flags()]] REFUSED SAYS "nvcc fatal : Unsupported gpu architecture 'compute_80a'" "it knows:")
  case("real: no such flag" ENV CUDA_COMPUTE_CAP=80 CUDA_NVCC_FLAGS=--banana DO [[show_flags()]] REFUSED SAYS "--banana")
endif()

# The control: what is not so must fail, each in its own way.
set(before ${failures})
case("control" DO [[message(STATUS a)]] SAYS b)
case("control" DO [[message(STATUS a)]] SAYS_NOT a)
case("control" DO [[message(STATUS a)]] REFUSED)
case("control" DO [[message(FATAL_ERROR a)]] SAYS a)
math(EXPR seen "${failures} - ${before}")
file(REMOVE_RECURSE ${folder})
if(NOT seen EQUAL 4)
  message(FATAL_ERROR "the test itself is broken: of 4 wrong cases it saw ${seen}")
elseif(NOT before EQUAL 0)
  message(FATAL_ERROR "${before} of ${cases} cases failed")
endif()
message(STATUS "${cases} cases, nvcc: ${real}")
