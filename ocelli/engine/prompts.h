// Prompt templates for zero-shot classification; {} stands for the label.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ocelli {

// The 80 templates with which OpenAI measured CLIP on ImageNet (openai/CLIP,
// notebooks/Prompt_Engineering_for_ImageNet.ipynb; MIT licence).
std::span<const std::string_view> openai80_templates();

// "openai80", "none" (the label alone), or a file with one template a line, {} or %s for the label.
std::vector<std::string> read_templates(const std::string& name);

// The labels of a file, one a line, or of a list "a dog,a cat". Throws invalid_argument when there
// are none, not_found for what looks like a file that is not there; labels that stand there twice
// are kept and warned about.
std::vector<std::string> read_label_list(const std::string& argument);

std::string fill_template(std::string_view pattern, std::string_view label);

}  // namespace ocelli
