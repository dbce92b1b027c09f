#include "ocelli/ops/shape.h"

#include "ocelli/backend/backend.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

Tensor clone(const Tensor& x) {
  const Tensor y = Tensor::empty(x.shape(), x.dtype());
  backend::current().copy(y, x);
  if (Tape* tape = Tape::recording({&x})) {
    tape->record("clone", y, [at = Place(x)](const Tensor& dy, Gradients& gradients) {
      gradients.add(at, dy);
    });
  }
  return y;
}

Tensor reshape(const Tensor& x, std::initializer_list<int64_t> sizes) {
  int64_t known = 1, unknown = 0;
  for (int64_t n : sizes) n == -1 ? ++unknown : known *= n;
  check(unknown == 0 || (unknown == 1 && known > 0 && x.numel() % known == 0),
        "reshape: {} to sizes whose product is {} with {} to infer", x.shape(), known, unknown);
  Shape shape;
  for (int64_t n : sizes) shape.push_back(n == -1 ? x.numel() / known : n);
  return x.can_view(shape) ? x.view(shape) : clone(x).view(shape);
}

Tensor cat(const std::vector<Tensor>& tensors, int dim) {
  check(!tensors.empty(), "cat: no tensors");
  const Tensor& first = tensors.front();
  if (dim < 0) dim += first.rank();
  check(dim >= 0 && dim < first.rank(), "cat: dimension {} of {}", dim, first.shape());
  Shape shape = first.shape();
  shape[dim] = 0;
  for (const Tensor& t : tensors) {
    Shape expected = t.shape();
    check(t.rank() == first.rank() && t.dtype() == first.dtype(), "cat: {} {} with {} {}",
          first.dtype(), first.shape(), t.dtype(), t.shape());
    shape[dim] += t.size(dim);
    expected[dim] = first.size(dim);
    check(expected == first.shape(), "cat: {} with {} along {}", first.shape(), t.shape(), dim);
  }
  const Tensor y = Tensor::empty(shape, first.dtype());
  int64_t start = 0;
  for (const Tensor& t : tensors) {
    backend::current().copy(y.slice(dim, start, start + t.size(dim)), t);
    start += t.size(dim);
  }
  for (const Tensor& t : tensors) {
    Tape* tape = Tape::recording({&t});
    if (!tape) continue;
    const std::vector<Place> parts(tensors.begin(), tensors.end());
    tape->record("cat", y, [=](const Tensor& dy, Gradients& gradients) {
      int64_t begin = 0;
      for (const Place& part : parts) {
        gradients.add(part, dy.slice(dim, begin, begin + part.shape[dim]));
        begin += part.shape[dim];
      }
    });
    break;
  }
  return y;
}

Tensor embedding(const Tensor& indices, const Tensor& table) {
  check(indices.dtype() == DType::i32, "embedding: indices are {}; i32 is needed", indices.dtype());
  check(table.rank() >= 1, "embedding: table is {}", table.shape());
  const Tensor flat = contiguous(indices).view({indices.numel()});
  for (int32_t index : flat.values<int32_t>()) {
    check(index >= 0 && index < table.size(0), "embedding: index {} in a table of {} rows", index,
          table.size(0));
  }
  Shape rows = {indices.numel()}, shape = indices.shape();
  for (int i = 1; i < table.rank(); ++i) {
    rows.push_back(table.size(i));
    shape.push_back(table.size(i));
  }
  const Tensor y = Tensor::empty(rows, table.dtype());
  backend::current().gather(y, table, flat);
  if (Tape* tape = Tape::recording({&table})) {
    // The row of an index that comes twice gets both gradients.
    tape->record("embedding", y, [=](const Tensor& dy, Gradients& gradients) {
      const Tensor dtable = Tensor::zeros(table.shape());
      for (int64_t i = 0; i < flat.numel(); ++i) {
        const Tensor row = dtable.select(0, flat.data<int32_t>()[i]);
        backend::current().binary(backend::Binary::add, row, row, dy.select(0, i));
      }
      gradients.add(table, dtable);
    });
  }
  return y.view(shape);
}

Tensor gather_rows(const Tensor& x, const Tensor& indices) {
  check(x.rank() == 3 && indices.shape() == Shape{x.size(0)} && indices.dtype() == DType::i32,
        "gather_rows: x is {}, indices {} {}", x.shape(), indices.dtype(), indices.shape());
  const Tensor y = Tensor::empty({x.size(0), x.size(2)}, x.dtype());
  for (int64_t b = 0; b < x.size(0); ++b) {
    const int32_t row = contiguous(indices).data<int32_t>()[b];
    check(row >= 0 && row < x.size(1), "gather_rows: row {} of {}", row, x.shape());
    backend::current().copy(y.select(0, b), x.select(0, b).select(0, row));
  }
  if (Tape* tape = Tape::recording({&x})) {
    std::vector<Place> rows;
    for (int64_t b = 0; b < x.size(0); ++b) {
      rows.push_back(x.select(0, b).select(0, contiguous(indices).data<int32_t>()[b]));
    }
    tape->record("gather_rows", y, [=](const Tensor& dy, Gradients& gradients) {
      for (size_t b = 0; b < rows.size(); ++b) {
        gradients.add(rows[b], dy.select(0, static_cast<int64_t>(b)));
      }
    });
  }
  return y;
}

Tensor index_add(const Tensor& x, const Tensor& indices, const Tensor& y, float alpha) {
  check(x.rank() >= 1 && indices.dtype() == DType::i32 && indices.rank() == 1 &&
            y.rank() == x.rank() && y.size(0) == indices.numel(),
        "index_add: x is {}, indices {} {}, y {}", x.shape(), indices.dtype(), indices.shape(),
        y.shape());
  const Tensor rows = contiguous(indices), z = Tensor::empty(x.shape());
  backend::current().copy(z, x);
  {
    const NoTape pause;
    const Tensor scaled = alpha == 1 ? y : y * alpha;
    for (int64_t i = 0; i < rows.numel(); ++i) {
      const int32_t row = rows.data<int32_t>()[i];
      check(row >= 0 && row < x.size(0), "index_add: row {} of {}", row, x.shape());
      const Tensor into = z.select(0, row);
      backend::current().binary(backend::Binary::add, into, into, scaled.select(0, i));
    }
  }
  if (Tape* tape = Tape::recording({&x, &y})) {
    // dx = dz,  dy = alpha dz[indices]
    tape->record("index_add", z,
                 [=, x_at = Place(x), y_at = Place(y)](const Tensor& dz, Gradients& gradients) {
                   gradients.add(x_at, dz);
                   if (!gradients.wants(y_at)) return;
                   gradients.add(y_at, embedding(rows, dz) * alpha);
                 });
  }
  return z;
}

Tensor patchify(const Tensor& x, int64_t ph, int64_t pw) {
  check(x.rank() == 4 && ph >= 1 && pw >= 1, "patchify: x is {}, patches {} x {}", x.shape(), ph,
        pw);
  const int64_t batch = x.size(0), rows = x.size(1) / ph, cols = x.size(2) / pw, c = x.size(3);
  const Tensor used = x.slice(1, 0, rows * ph).slice(2, 0, cols * pw);
  const Tensor y = Tensor::empty({batch, rows, cols, ph, pw, c}, x.dtype());
  const Tensor split = contiguous(used).view({batch, rows, ph, cols, pw, c});
  backend::current().copy(y, split.permute({0, 1, 3, 2, 4, 5}));
  if (Tape* tape = Tape::recording({&x})) {
    tape->record("patchify", y, [at = Place(used)](const Tensor& dy, Gradients& gradients) {
      gradients.add(at, contiguous(dy.permute({0, 1, 3, 2, 4, 5})).view(at.shape));
    });
  }
  return y.view({batch, rows * cols, ph * pw * c});
}

}  // namespace ocelli
