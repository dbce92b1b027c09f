// BERT. Devlin et al., arXiv 1810.04805; sentences, Reimers and Gurevych, arXiv 1908.10084.
// Reference: transformers/models/bert, sentence-transformers. Names are those of transformers.
#pragma once

#include "ocelli/models/registry.h"

namespace ocelli {

extern const Family kBertFamily;

}  // namespace ocelli
