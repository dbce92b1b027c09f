#include "ocelli/engine/report.h"

#include <algorithm>
#include <filesystem>

#include "ocelli/base/file.h"
#include "ocelli/engine/thumbnail.h"
#include "ocelli/image/page.h"

namespace ocelli {
namespace {

std::string card(const ReportItem& item, const DecodeOptions& decode) {
  std::string html = "<article>";
  if (item.error.empty()) {
    html += page::picture(item.path, decode);
  }
  html += fmt::format("<div class=\"body\"><h2>{}</h2>",
                      page::escape(std::filesystem::path(item.path).filename().string()));
  if (!item.error.empty())
    html += fmt::format("<p class=\"error\">{}</p>", page::escape(item.error));
  html += "<dl>";
  for (const Prediction& p : item.predictions) {
    html +=
        fmt::format("<dt title=\"{0}\">{0}</dt><dd>{1:.1f} %</dd><i style=\"--p:{1:.1f}%\"></i>",
                    page::escape(p.label), 100 * p.probability);
  }
  return html + "</dl></div></article>\n";
}

}  // namespace

void write_html_report(const std::string& path, const std::string& model,
                       std::span<const ReportItem> items, const DecodeOptions& decode) {
  AtomicFile file(path);
  file.write(page::head("Ocelli"));
  const auto failed =
      std::ranges::count_if(items, [](const ReportItem& i) { return !i.error.empty(); });
  const auto count = static_cast<int64_t>(items.size()) - failed;
  file.write(
      fmt::format("<header><h1>Ocelli</h1><p>{} image{} classified by {}{}</p></header>\n<main>\n",
                  count, count == 1 ? "" : "s", page::escape(model),
                  failed == 0 ? "" : fmt::format("; {} could not be read", failed)));
  for (const ReportItem& item : items) {
    throw_if_cancelled();
    file.write(card(item, decode));
  }
  file.write(page::kEnd);
  file.commit();
}

}  // namespace ocelli
