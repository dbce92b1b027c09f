#include "ocelli/train/run_report.h"

#include "ocelli/base/file.h"
#include "ocelli/image/page.h"
#include "ocelli/train/curves.h"

namespace ocelli {
namespace {

constexpr std::string_view kStyle =
    R"(main{max-width:72rem;margin:auto}
section{display:grid;gap:1.2rem;grid-template-columns:repeat(auto-fit,minmax(min(28rem,100%),1fr))}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:.8rem 1rem;overflow:hidden}
figcaption{font-size:.95rem;font-weight:600;overflow-wrap:anywhere;display:flex;
justify-content:space-between;gap:1rem}
figcaption b{color:var(--soft);font-weight:400;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto;display:block}
svg text{font-size:20px;fill:var(--soft)}
svg .grid{stroke:var(--line)}
svg polyline{stroke-width:3;stroke-linejoin:round}
h2{font-size:1.1rem;margin:2rem 0 .8rem}
section.samples{grid-template-columns:repeat(auto-fill,minmax(11rem,1fr))}
section.samples figure{padding:0}
section.samples img{width:100%;display:block}
section.samples figcaption{font-weight:400;font-size:.85rem;padding:.5rem .7rem}
pre{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem;
overflow:auto;font-size:.85rem}
)";

std::string figure(const Chart& chart) {
  const Curve& curve = chart.curves[0];
  return fmt::format("<figure><figcaption>{}<b>{:.5g}</b></figcaption>\n{}</figure>\n",
                     page::escape(chart.title), curve.points.back().y, svg(chart));
}

}  // namespace

void write_run_report(const std::filesystem::path& file, const std::string& title,
                      const std::string& config, std::vector<MetricLine> lines,
                      std::span<const ReportSample> samples) {
  const int64_t last = lines.empty() ? 0 : lines.back().step;
  const NamedRun run{.name = title, .lines = std::move(lines)};
  AtomicFile out(file);
  out.write(page::head("Ocelli: " + title, kStyle));
  out.write(fmt::format("<header><h1>{}</h1><p>{} steps</p></header>\n<main><section>\n",
                        page::escape(title), last));
  for (const Chart& chart : charts_of(std::span(&run, 1), {})) out.write(figure(chart));
  out.write("</section>\n");
  if (!samples.empty()) out.write("<h2>Samples</h2><section class=\"samples\">\n");
  for (const ReportSample& sample : samples) {
    out.write(fmt::format("<figure><img alt=\"\" src=\"{}\"><figcaption>{}</figcaption></figure>\n",
                          page::inline_jpeg(sample.image), page::escape(sample.caption)));
  }
  if (!samples.empty()) out.write("</section>\n");
  out.write(fmt::format("<h2>config.toml</h2><pre>{}</pre>\n", page::escape(config)));
  out.write(page::kEnd);
  out.commit();
}

}  // namespace ocelli
