#include "ocelli/formats/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "ocelli/formats/pickle_globals.h"

namespace ocelli::pickle {
namespace {

constexpr size_t kMaxObjects = 10'000'000;

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  Document run();
  size_t position() const { return at_; }

 private:
  [[noreturn]] void corrupt(std::string_view what) const {
    fail(ErrorCode::corrupt_data, "{}: pickle at byte {}: {}", file_, at_, what);
  }
  std::span<const std::byte> take(size_t n) {
    if (n > bytes_.size() - at_) corrupt("ends too early");
    at_ += n;
    return bytes_.subspan(at_ - n, n);
  }
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text(size_t n) {
    const auto part = take(n);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  uint32_t text_index() { return static_cast<uint32_t>(std::strtoul(line().c_str(), nullptr, 10)); }
  std::string line() {
    const auto* begin = reinterpret_cast<const char*>(bytes_.data()) + at_;
    const auto* end = static_cast<const char*>(std::memchr(begin, '\n', bytes_.size() - at_));
    if (!end) corrupt("a line does not end");
    at_ += static_cast<size_t>(end - begin) + 1;
    return {begin, end};
  }
  template <typename T>
  Value make(T value) {
    if (document_.objects.size() >= kMaxObjects) corrupt("too many objects");
    return &document_.objects.emplace_back(Object{std::move(value)});
  }
  void push(Value value) { stack_.push_back(value); }
  Value pop() {
    if (stack_.size() <= floor()) corrupt("the stack is empty");
    Value value = std::move(stack_.back());
    stack_.pop_back();
    return value;
  }
  Value& top() {
    if (stack_.size() <= floor()) corrupt("the stack is empty");
    return stack_.back();
  }
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  std::vector<Value> pop_mark() {
    if (marks_.empty()) corrupt("no mark");
    std::vector<Value> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()),
                             stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  bool step(uint8_t opcode);  // false at STOP
  bool step_numbers(uint8_t opcode);
  bool step_containers(uint8_t opcode);
  void step_objects(uint8_t opcode);
  void remember(uint32_t index) { memo_[index] = top(); }
  void recall(uint32_t index);
  void global(const std::string& module, const std::string& name);
  void set_items(std::vector<Value> items);
  void append_items(std::vector<Value> items);
  void build();
  void persistent();
  Value reduce(Value callable, Value arguments);
  Value tensor_of(const Tuple& arguments);
  Value dict_of(const Tuple& arguments);
  int64_t integer(Value value) {
    if (const auto* i = as<int64_t>(value)) return *i;
    if (const auto* b = as<bool>(value)) return *b;
    corrupt("an integer is needed");
  }
  std::vector<int64_t> integers(Value value);

  std::span<const std::byte> bytes_;
  const std::string& file_;
  size_t at_ = 0;
  Document document_;
  std::vector<Value> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, Value> memo_;
};

Document Reader::run() {
  while (step(std::to_integer<uint8_t>(take(1)[0]))) {
  }
  if (stack_.empty()) corrupt("ends without a value");
  document_.root = stack_.back();
  return std::move(document_);
}

void Reader::recall(uint32_t index) {
  const auto entry = memo_.find(index);
  if (entry == memo_.end()) corrupt("an unknown memo entry is asked for");
  push(entry->second);
}

void Reader::global(const std::string& module, const std::string& name) {
  const std::string full = module + "." + name;
  if (!is_known_global(full)) {
    fail(ErrorCode::unsupported,
         "{}: the pickle asks for the global '{}', which a checkpoint of tensors does not need; "
         "nothing was run. Save the state_dict alone, or as safetensors",
         file_, full);
  }
  push(make(Global{full}));
}

void Reader::set_items(std::vector<Value> items) {
  if (items.size() % 2) corrupt("a key without a value");
  Object& target = *top();
  auto* dict = std::get_if<Dict>(&target.value);
  if (auto* instance = std::get_if<Instance>(&target.value)) {
    if (!instance->state) instance->state = make(Dict{});
    dict = std::get_if<Dict>(&instance->state->value);
  }
  if (!dict) corrupt("items are set on something that is no dict");
  for (size_t i = 0; i < items.size(); i += 2) {
    dict->items.emplace_back(std::move(items[i]), std::move(items[i + 1]));
  }
}

void Reader::append_items(std::vector<Value> items) {
  auto* list = std::get_if<List>(&top()->value);
  if (!list) corrupt("items are appended to something that is no list");
  for (Value& item : items) list->items.push_back(std::move(item));
}

// The state of an object replaces nothing: it is kept beside the type's name. An OrderedDict's
// state holds attributes such as _metadata, which no tensor needs.
void Reader::build() {
  Value state = pop();
  Object& target = *top();
  if (auto* instance = std::get_if<Instance>(&target.value)) instance->state = std::move(state);
}

// ('storage', torch.FloatStorage, key, location, count), or with a view for the legacy format.
void Reader::persistent() {
  const Value id = pop();
  const auto* tuple = as<Tuple>(id);
  if (!tuple || tuple->items.size() < 5) corrupt("a persistent id is no storage");
  const auto* type = as<Global>(tuple->items[1]);
  const auto* key = as<std::string>(tuple->items[2]);
  const auto dtype = type ? storage_dtype(type->name) : std::nullopt;
  if (!dtype || !key) corrupt("a persistent id is no storage");
  const std::string name = type->name.substr(type->name.rfind('.') + 1);
  const int64_t count = integer(tuple->items[4]);
  if (count < 0) corrupt("a storage of negative size");
  if (tuple->items.size() > 5 && !as<None>(tuple->items[5])) {
    fail(ErrorCode::unsupported, "{}: holds storages that are views of others (PyTorch before 0.4)",
         file_);
  }
  push(make(Storage{*key, *dtype, count, name}));
}

std::vector<int64_t> Reader::integers(Value value) {
  const auto* tuple = as<Tuple>(value);
  const auto* list = as<List>(value);
  if (!tuple && !list) corrupt("a tuple of integers is needed");
  std::vector<int64_t> result;
  for (const Value& item : tuple ? tuple->items : list->items) result.push_back(integer(item));
  return result;
}

Value Reader::tensor_of(const Tuple& arguments) {
  if (arguments.items.size() < 4) corrupt("a tensor with too few parts");
  const auto* storage = as<Storage>(arguments.items[0]);
  if (!storage) corrupt("a tensor without a storage");
  const std::vector<int64_t> sizes = integers(arguments.items[2]);
  TensorRecord record{*storage, integer(arguments.items[1]), {}, integers(arguments.items[3])};
  if (sizes.size() > Shape::kMaxRank || record.strides.size() != sizes.size()) {
    corrupt("a tensor of too many dimensions");
  }
  for (int64_t size : sizes) {
    if (size < 0) corrupt("a tensor of negative size");
    record.shape.push_back(size);
  }
  return make(std::move(record));
}

// Python 2 wrote an OrderedDict with a list of pairs as its argument.
Value Reader::dict_of(const Tuple& arguments) {
  Dict dict;
  const auto* pairs = arguments.items.empty() ? nullptr : as<List>(arguments.items[0]);
  for (const Value pair : pairs ? pairs->items : std::vector<Value>()) {
    const auto* list = as<List>(pair);
    const auto* tuple = as<Tuple>(pair);
    if (!list && !tuple) corrupt("a dict of something that is no pair");
    const std::vector<Value>& items = list ? list->items : tuple->items;
    if (items.size() != 2) corrupt("a dict of something that is no pair");
    dict.items.emplace_back(items[0], items[1]);
  }
  return make(std::move(dict));
}

Value Reader::reduce(Value callable, Value arguments) {
  const auto* function = as<Global>(callable);
  const auto* tuple = as<Tuple>(arguments);
  if (!function || !tuple) corrupt("something that is no function is called");
  const std::string& name = function->name;
  const auto first = [&] { return tuple->items.empty() ? make(None{}) : tuple->items[0]; };
  if (name.starts_with("torch._utils._rebuild_tensor")) return tensor_of(*tuple);
  if (name.starts_with("torch._utils._rebuild_parameter")) return first();
  if (name == "torch._tensor._rebuild_from_type_v2") {  // (function, type, arguments, attributes)
    if (tuple->items.size() != 4) corrupt("a tensor with too few parts");
    const auto* inner = as<Global>(tuple->items[0]);
    if (!inner || inner->name == name) corrupt("a tensor in a tensor");
    return reduce(tuple->items[0], tuple->items[2]);
  }
  if (name.ends_with("OrderedDict") || name.ends_with(".dict") || name.ends_with("Counter")) {
    return dict_of(*tuple);
  }
  if (name.ends_with("defaultdict")) return make(Dict{});
  if (name.starts_with("torch.jit._pickle.")) return first();
  if (name.ends_with(".set") || name.ends_with(".list") || name.ends_with("frozenset") ||
      name == "torch.Size" || name.ends_with(".tuple")) {
    return first();
  }
  return make(Instance{name, nullptr});
}

bool Reader::step(uint8_t opcode) {
  switch (opcode) {
    case '.': return false;                                                 // STOP
    case 0x80: take(1); return true;                                        // PROTO
    case 0x95: take(8); return true;                                        // FRAME
    case '0': pop(); return true;                                           // POP
    case '1': pop_mark(); return true;                                      // POP_MARK
    case '2': push(Value(top())); return true;                              // DUP
    case '(': marks_.push_back(stack_.size()); return true;                 // MARK
    case 'p': remember(text_index()); return true;                          // PUT
    case 'q': remember(number<uint8_t>()); return true;                     // BINPUT
    case 'r': remember(number<uint32_t>()); return true;                    // LONG_BINPUT
    case 0x94: remember(static_cast<uint32_t>(memo_.size())); return true;  // MEMOIZE
    case 'g': recall(text_index()); return true;
    case 'h': recall(number<uint8_t>()); return true;   // BINGET
    case 'j': recall(number<uint32_t>()); return true;  // LONG_BINGET
    default: break;
  }
  if (!step_numbers(opcode) && !step_containers(opcode)) step_objects(opcode);
  return true;
}

bool Reader::step_numbers(uint8_t opcode) {
  switch (opcode) {
    case 'N': push(make(None{})); return true;
    case 0x88: push(make(true)); return true;                        // NEWTRUE
    case 0x89: push(make(false)); return true;                       // NEWFALSE
    case 'K': push(make(int64_t{number<uint8_t>()})); return true;   // BININT1
    case 'M': push(make(int64_t{number<uint16_t>()})); return true;  // BININT2
    case 'J': push(make(int64_t{number<int32_t>()})); return true;   // BININT
    case 'I': {                                                      // INT, "01" is True
      const std::string s = line();
      push(s == "01"   ? make(true)
           : s == "00" ? make(false)
                       : make(int64_t{std::strtoll(s.c_str(), nullptr, 10)}));
      return true;
    }
    case 'L': push(make(int64_t{std::strtoll(line().c_str(), nullptr, 10)})); return true;  // LONG
    case 'F': push(make(std::strtod(line().c_str(), nullptr))); return true;                // FLOAT
    case 'G':  // BINFLOAT, big endian
      push(make(std::bit_cast<double>(__builtin_bswap64(number<uint64_t>()))));
      return true;
    case 0x8a:    // LONG1
    case 0x8b: {  // LONG4
      const size_t n = opcode == 0x8a ? number<uint8_t>() : number<uint32_t>();
      const auto digits = take(n);
      // Two's complement, little endian. Wider ones (the legacy magic number) keep their low bits.
      uint64_t value =
          n > 0 && (digits[n - 1] & std::byte{0x80}) != std::byte{0} ? ~uint64_t{0} : 0;
      for (size_t i = std::min<size_t>(n, 8); i-- > 0;) {
        value = (value << 8) | std::to_integer<uint64_t>(digits[i]);
      }
      push(make(static_cast<int64_t>(value)));
      return true;
    }
    case 'U':                                                      // SHORT_BINSTRING
    case 0x8c: push(make(text(number<uint8_t>()))); return true;   // SHORT_BINUNICODE
    case 'T':                                                      // BINSTRING
    case 'X': push(make(text(number<uint32_t>()))); return true;   // BINUNICODE
    case 0x8d: push(make(text(number<uint64_t>()))); return true;  // BINUNICODE8
    case 'V': push(make(line())); return true;                     // UNICODE
    case 'S': {                                                    // STRING, quoted
      const std::string s = line();
      if (s.size() < 2 || s.front() != s.back()) corrupt("a string without quotes");
      push(make(s.substr(1, s.size() - 2)));
      return true;
    }
    case 'C': push(make(Bytes{text(number<uint8_t>())})); return true;
    case 'B': push(make(Bytes{text(number<uint32_t>())})); return true;
    case 0x8e:
    case 0x96: push(make(Bytes{text(number<uint64_t>())})); return true;
    default: return false;
  }
}

bool Reader::step_containers(uint8_t opcode) {
  switch (opcode) {
    case ')': push(make(Tuple{})); return true;
    case ']':
    case 0x8f: push(make(List{})); return true;  // EMPTY_SET too
    case '}': push(make(Dict{})); return true;
    case 't': {
      auto items = pop_mark();
      push(make(Tuple{std::move(items)}));
      return true;
    }
    case 0x85: {
      Value a = pop();
      push(make(Tuple{{a}}));
      return true;
    }
    case 0x86: {
      Value b = pop(), a = pop();
      push(make(Tuple{{a, b}}));
      return true;
    }
    case 0x87: {
      Value c = pop(), b = pop(), a = pop();
      push(make(Tuple{{a, b, c}}));
      return true;
    }
    case 'l':
    case 0x91: {
      auto items = pop_mark();
      push(make(List{std::move(items)}));
      return true;
    }  // FROZENSET
    case 'd': {
      auto items = pop_mark();
      push(make(Dict{}));
      set_items(std::move(items));
      return true;
    }
    case 'a': {
      Value item = pop();
      append_items({item});
      return true;
    }
    case 'e':
    case 0x90: append_items(pop_mark()); return true;  // ADDITEMS
    case 's': {
      Value value = pop(), key = pop();
      set_items({key, value});
      return true;
    }
    case 'u': set_items(pop_mark()); return true;
    default: return false;
  }
}

void Reader::step_objects(uint8_t opcode) {
  switch (opcode) {
    case 'c': {
      const std::string module = line(), name = line();
      return global(module, name);
    }
    case 0x93: {  // STACK_GLOBAL
      const Value name = pop(), module = pop();
      const auto *n = as<std::string>(name), *m = as<std::string>(module);
      if (!n || !m) corrupt("a global without a name");
      return global(*m, *n);
    }
    case 'i': {  // INST
      const std::string module = line(), name = line();
      global(module, name);
      corrupt("an instance of the old kind");
    }
    case 'R': {
      const Value arguments = pop(), callable = pop();
      return push(reduce(callable, arguments));
    }
    case 0x81:    // NEWOBJ
    case 0x92: {  // NEWOBJ_EX
      if (opcode == 0x92) pop();
      const Value arguments = pop(), type = pop();
      return push(reduce(type, arguments));
    }
    case 'b': return build();
    case 'Q': return persistent();
    default: corrupt(fmt::format("the opcode {:#x} is not one that checkpoints use", opcode));
  }
}

}  // namespace

Document load(std::span<const std::byte> bytes, const std::string& file, size_t* consumed) {
  Reader reader(bytes, file);
  Document document = reader.run();
  if (consumed) *consumed = reader.position();
  return document;
}

}  // namespace ocelli::pickle
