#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "ocelli/base/file.h"
#include "ocelli/curate/curate.h"
#include "ocelli/curate/multi_crop.h"
#include "ocelli/data/inputs.h"
#include "ocelli/engine/thumbnail.h"
#include "ocelli/image/page.h"

namespace ocelli {
namespace {

constexpr int64_t kExampleSize = 200;
constexpr int kExamples = 8, kBins = 24, kViews = 4;
constexpr std::array<std::string_view, 5> kStages = {"collect", "quality", "embed", "dedup",
                                                     "retrieve"};

constexpr std::string_view kReportStyle =
    R"(main{max-width:72rem;margin:auto;display:grid;gap:1.2rem}
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
rect.cut{fill:var(--bad);opacity:.18}
.cluster{display:grid;grid-template-columns:11rem 1fr;gap:1rem;align-items:center;
border-top:1px solid var(--line);padding:.5rem 0}
.cluster .row{grid-template-columns:repeat(6,minmax(0,1fr));gap:.4rem}
.cluster img{height:4.5rem;object-fit:cover}
.cluster i{display:block;height:.7rem;border-radius:3px;width:var(--p);margin:.15rem 0;
background:var(--line)}
.cluster i.after{background:var(--bar)}
.views{display:flex;gap:.4rem;align-items:end;margin:.6rem 0;zoom:.84}
.views img{width:auto;height:auto;border-radius:3px}
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

std::string picture(const std::string& path, const DecodeOptions& decode) {
  try {
    return fmt::format("<img alt=\"\" title=\"{}\" src=\"{}\">", page::escape(path),
                       page::inline_jpeg(thumbnail(path, kExampleSize, kExampleSize, decode)));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::cancelled) throw;
    return "<small>no picture</small>";
  }
}

std::string figure(const Fate& fate, const DecodeOptions& decode) {
  return fmt::format("<figure>{}<figcaption>{}</figcaption></figure>\n", picture(fate.path, decode),
                     page::escape(fate.why));
}

// Bars for all images and for those kept, as shares of the largest, and what is in each cluster.
std::string clusters(const Curated& curated, const DecodeOptions& decode) {
  if (curated.clusters.empty()) return "";
  int64_t before = 0, after = 0;
  for (const ClusterShare& c : curated.clusters) {
    before += c.before;
    after += c.after;
  }
  const auto share = [](int64_t part, int64_t whole) {
    return 100 * static_cast<double>(part) / static_cast<double>(std::max<int64_t>(whole, 1));
  };
  double most = 0;
  for (const ClusterShare& c : curated.clusters) {
    most = std::max({most, share(c.before, before), share(c.after, after)});
  }
  std::string html = fmt::format(
      "<section><h2>Clusters, before and after</h2><small>k-means over all {} that could be "
      "embedded; upper bars are their share of these, lower ones of the {} kept</small>\n",
      before, after);
  for (const ClusterShare& c : curated.clusters) {
    const double b = share(c.before, before), a = share(c.after, after);
    html += fmt::format(
        "<div class=\"cluster\"><div><i style=\"--p:{:.1f}%\"></i><i class=\"after\" "
        "style=\"--p:{:.1f}%\"></i><small>{} ({:.1f} %) to {} ({:.1f} %)</small></div>"
        "<div class=\"row\">",
        100 * b / most, 100 * a / most, c.before, b, c.after, a);
    for (const int64_t i : c.examples) html += picture(curated.fates[i].path, decode);
    html += "</div></div>\n";
  }
  return html + "</section>\n";
}

// What a self-supervised model would see of some of the images.
std::string views(const Curated& curated, uint64_t seed, const DecodeOptions& decode) {
  std::vector<const Fate*> kept;
  for (const Fate& f : curated.fates) {
    if (f.stage.empty()) kept.push_back(&f);
  }
  std::string html;
  const size_t shown = std::min<size_t>(kept.size(), kViews);
  for (size_t i = 0; i < shown; ++i) {
    try {
      const Image image = decode_input(kept[i * kept.size() / shown]->path, decode);
      html += "<div class=\"views\">";
      for (const Image& view : multi_crop(image, seed + i)) {
        html += fmt::format("<img alt=\"\" src=\"{}\">", page::inline_jpeg(view));
      }
      html += "</div>\n";
    } catch (const Error& error) {
      if (error.code() == ErrorCode::cancelled) throw;
    }
  }
  if (html.empty()) return "";
  const MultiCrop m;
  return fmt::format(
             "<section><h2>Multi-crop</h2><small>{} crops of {} pixels from {:g} to {:g} of the "
             "area, {} of {} from {:g} to {:g}</small>\n",
             m.global_crops, m.global_size, m.global_low, m.global_high, m.local_crops,
             m.local_size, m.local_low, m.local_high) +
         html + "</section>\n";
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

struct Histogram {
  std::string_view title;
  double high;  // of the axis, which begins at 0
  double (*measure)(const QualityMeasures&);
  double least, most;  // what the recipe lets through
};

// What is beyond the limits is shaded.
std::string histogram(const Curated& curated, const Histogram& h) {
  std::array<int64_t, kBins> bins{};
  for (const Fate& f : curated.fates) {
    if (f.measures.width == 0) continue;
    const double share = std::clamp(h.measure(f.measures) / h.high, 0.0, 1.0);
    ++bins[std::min(static_cast<int>(share * kBins), kBins - 1)];
  }
  const auto most = static_cast<double>(std::max<int64_t>(*std::ranges::max_element(bins), 1));
  std::string html = fmt::format(
      "<div>{} <small>0 to {:g}</small><svg viewBox=\"0 0 {} 100\" "
      "preserveAspectRatio=\"none\">",
      h.title, h.high, kBins);
  const auto at = [&](double value) { return kBins * std::clamp(value / h.high, 0.0, 1.0); };
  html += fmt::format(
      "<rect class=\"cut\" width=\"{:.2f}\" height=\"100\"/>"
      "<rect class=\"cut\" x=\"{:.2f}\" width=\"{:.2f}\" height=\"100\"/>",
      at(h.least), at(h.most), kBins - at(h.most));
  for (int i = 0; i < kBins; ++i) {
    const double height = 100 * static_cast<double>(bins[i]) / most;
    html += fmt::format("<rect x=\"{}.05\" y=\"{:.1f}\" width=\".9\" height=\"{:.1f}\"/>", i,
                        100 - height, height);
  }
  return html + "</svg></div>\n";
}

}  // namespace

void write_curate_report(const std::string& path, const Curated& curated, const Recipe& recipe,
                         const DecodeOptions& decode) {
  using M = QualityMeasures;
  constexpr double kAll = 1e9;
  const QualityLimits& q = recipe.quality;
  AtomicFile file(path);
  file.write(page::head("Ocelli: curation", kReportStyle));
  file.write(fmt::format("<header><h1>Curation</h1><p>{} of {} files kept</p></header>\n<main>\n",
                         curated.kept, curated.fates.size()));
  file.write(funnel(curated));
  file.write(
      std::string_view("<section><h2>Measures of all that could be decoded; what is shaded is left "
                       "out</h2><div class=\"row\">\n"));
  for (const Histogram& h : {
           Histogram{"sharpness (log2)", 14, [](const M& m) { return std::log2(1 + m.sharpness); },
                     std::log2(1 + q.min_sharpness), kAll},
           Histogram{"brightness", 1, [](const M& m) { return m.brightness; }, q.min_brightness,
                     q.max_brightness},
           Histogram{"contrast", 0.5, [](const M& m) { return m.contrast; }, q.min_contrast, kAll},
           Histogram{"entropy", 8, [](const M& m) { return m.entropy; }, q.min_entropy, kAll},
           Histogram{"one colour", 1, [](const M& m) { return m.solid; }, 0, q.max_solid},
           Histogram{"text", 0.5, [](const M& m) { return m.text; }, 0, q.max_text},
           Histogram{"aspect", 6, [](const M& m) { return m.aspect(); }, 0, q.max_aspect},
           Histogram{"shorter side (log2)", 13,
                     [](const M& m) { return std::log2(1.0 + std::min(m.width, m.height)); },
                     std::log2(1.0 + static_cast<double>(q.min_side)), kAll},
       }) {
    file.write(histogram(curated, h));
  }
  file.write(std::string_view("</div></section>\n"));
  file.write(clusters(curated, decode));
  for (const std::string_view stage : kStages) {
    file.write(examples(curated, stage, fmt::format("Left out by {}", stage), decode));
  }
  file.write(examples(curated, "", "Kept", decode));
  file.write(views(curated, recipe.seed, decode));
  file.write(std::string_view("</main></body></html>\n"));
  file.commit();
}

}  // namespace ocelli
