# cmake --install: the program (cli/), the library as the package `ocelli` with one target
# ocelli::ocelli, its headers, and the default model when it has been fetched.
include(CMakePackageConfigHelpers)

add_library(ocelli_library INTERFACE)
add_library(ocelli::ocelli ALIAS ocelli_library)
set_target_properties(ocelli_library PROPERTIES EXPORT_NAME ocelli)
target_link_libraries(ocelli_library INTERFACE ocelli::curate ocelli::engine ocelli::hub ocelli::train)

get_property(OCELLI_SHELVES GLOBAL PROPERTY OCELLI_SHELVES)
set(OCELLI_PACKAGE_FOLDER ${CMAKE_INSTALL_LIBDIR}/cmake/ocelli)
install(TARGETS ocelli_library ${OCELLI_SHELVES} EXPORT ocelliTargets)
install(EXPORT ocelliTargets NAMESPACE ocelli:: DESTINATION ${OCELLI_PACKAGE_FOLDER})
configure_package_config_file(cmake/ocelliConfig.cmake.in ${PROJECT_BINARY_DIR}/ocelliConfig.cmake
  INSTALL_DESTINATION ${OCELLI_PACKAGE_FOLDER})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ocelliConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ocelliConfig.cmake ${PROJECT_BINARY_DIR}/ocelliConfigVersion.cmake
  DESTINATION ${OCELLI_PACKAGE_FOLDER})

install(DIRECTORY ${PROJECT_SOURCE_DIR}/ocelli TYPE INCLUDE FILES_MATCHING PATTERN "*.h"
  PATTERN "backend/cpu" EXCLUDE PATTERN "backend/reference" EXCLUDE)
install(FILES LICENSE NOTICE TYPE DOC)
install(DIRECTORY recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/ocelli)
foreach(model default zero-shot all-minilm-l6-v2)
  install(DIRECTORY models/${model} DESTINATION ${CMAKE_INSTALL_DATADIR}/ocelli/models OPTIONAL)
endforeach()
