#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "ocelli/base/file.h"
#include "ocelli/curate/curate.h"
#include "ocelli/engine/page.h"
#include "ocelli/engine/thumbnail.h"

namespace ocelli {
namespace {

constexpr int64_t kThumbnail = 200;
constexpr int kExamples = 8, kBins = 24;
constexpr std::array<std::string_view, 5> kStages = {"collect", "quality", "embed", "dedup",
                                                     "retrieve"};

constexpr std::string_view kStyle = R"(main{max-width:72rem;margin:auto;display:grid;gap:1.2rem}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem}
h2{font-size:1.05rem;margin:0 0 .7rem}
.funnel{display:grid;grid-template-columns:9rem 1fr;gap:.4rem 1rem;align-items:center}
.funnel i{display:block;height:1rem;border-radius:4px;background:var(--bar);width:var(--p)}
.row{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(8rem,1fr))}
figure{margin:0}
img{width:100%;height:7rem;object-fit:contain;background:var(--paper);border-radius:6px}
figcaption,small{font-size:.78rem;color:var(--soft);overflow-wrap:anywhere}
svg{width:100%;height:6rem;display:block}
rect{fill:var(--bar)}
)";

std::string funnel(const Curated& curated) {
  const auto all = static_cast<int64_t>(curated.fates.size());
  std::string html = "<section><h2>Funnel</h2><div class=\"funnel\">\n";
  const auto add = [&](std::string_view name, int64_t count) {
    const double share =
        all > 0 ? 100.0 * static_cast<double>(count) / static_cast<double>(all) : 0;
    html += fmt::format("<span>{}</span><span><i style=\"--p:{:.1f}%\"></i>{}</span>\n", name,
                        share, count);
  };
  add("files", all);
  int64_t left = all;
  for (const std::string_view stage : kStages) {
    left -= std::ranges::count(curated.fates, stage, &Fate::stage);
    add(fmt::format("after {}", stage), left);
  }
  return html + "</div></section>\n";
}

std::string figure(const Fate& fate, const DecodeOptions& decode) {
  std::string picture;
  try {
    picture = fmt::format("<img alt=\"\" src=\"{}\">",
                          page::inline_jpeg(thumbnail(fate.path, kThumbnail, kThumbnail, decode)));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::cancelled) throw;
    picture = "<small>no picture</small>";
  }
  return fmt::format("<figure>{}<figcaption title=\"{}\">{}</figcaption></figure>\n", picture,
                     page::escape(fate.path), page::escape(fate.why));
}

// Examples spread evenly over all of a stage.
std::string examples(const Curated& curated, std::string_view stage, std::string_view title,
                     const DecodeOptions& decode) {
  std::vector<const Fate*> all;
  for (const Fate& f : curated.fates) {
    if (f.stage == stage) all.push_back(&f);
  }
  if (all.empty()) return "";
  std::string html =
      fmt::format("<section><h2>{}: {}</h2><div class=\"row\">\n", title, all.size());
  const size_t shown = std::min<size_t>(all.size(), kExamples);
  for (size_t i = 0; i < shown; ++i) html += figure(*all[i * all.size() / shown], decode);
  return html + "</div></section>\n";
}

std::string histogram(const Curated& curated, std::string_view title, double high,
                      double (*measure)(const QualityMeasures&)) {
  std::array<int64_t, kBins> bins{};
  for (const Fate& f : curated.fates) {
    if (f.measures.width == 0) continue;
    const double share = std::clamp(measure(f.measures) / high, 0.0, 1.0);
    ++bins[std::min(static_cast<int>(share * kBins), kBins - 1)];
  }
  const auto most = static_cast<double>(std::max<int64_t>(*std::ranges::max_element(bins), 1));
  std::string html = fmt::format(
      "<div>{} <small>0 to {:g}</small><svg viewBox=\"0 0 {} 100\" "
      "preserveAspectRatio=\"none\">",
      title, high, kBins);
  for (int i = 0; i < kBins; ++i) {
    const double height = 100 * static_cast<double>(bins[i]) / most;
    html += fmt::format("<rect x=\"{}.05\" y=\"{:.1f}\" width=\".9\" height=\"{:.1f}\"/>", i,
                        100 - height, height);
  }
  return html + "</svg></div>\n";
}

}  // namespace

void write_curate_report(const std::string& path, const Curated& curated,
                         const DecodeOptions& decode) {
  using M = QualityMeasures;
  AtomicFile file(path);
  file.write(page::head("Ocelli: curation", kStyle));
  file.write(fmt::format("<header><h1>Curation</h1><p>{} of {} files kept</p></header>\n<main>\n",
                         curated.kept, curated.fates.size()));
  file.write(funnel(curated));
  file.write(
      std::string_view("<section><h2>Measures of all that could be decoded</h2>"
                       "<div class=\"row\">\n"));
  file.write(histogram(curated, "sharpness (log2)", 14,
                       [](const M& m) { return std::log2(1 + m.sharpness); }));
  file.write(histogram(curated, "brightness", 1, [](const M& m) { return m.brightness; }));
  file.write(histogram(curated, "contrast", 0.5, [](const M& m) { return m.contrast; }));
  file.write(histogram(curated, "entropy", 8, [](const M& m) { return m.entropy; }));
  file.write(histogram(curated, "one colour", 1, [](const M& m) { return m.solid; }));
  file.write(histogram(curated, "aspect", 4, [](const M& m) { return m.aspect(); }));
  file.write(std::string_view("</div></section>\n"));
  for (const std::string_view stage : kStages) {
    file.write(examples(curated, stage, fmt::format("Left out by {}", stage), decode));
  }
  file.write(examples(curated, "", "Kept", decode));
  file.write(std::string_view("</main></body></html>\n"));
  file.commit();
}

}  // namespace ocelli
