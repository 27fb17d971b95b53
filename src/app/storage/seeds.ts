/** The challenges a new installation has. */

export interface Seed {
  readonly title: string;
  readonly language: "javascript" | "python";
  readonly prompt: string;
  /** What stands in the editor at first. */
  readonly response: string;
}

export const SEEDS: readonly Seed[] = [
  {
    title: "Balanced brackets",
    language: "javascript",
    prompt: `Write a function that tells whether the brackets in a text are balanced: every ( [ { is closed by its own kind, in the right order. Other characters do not matter.

Examples
  balanced("a(b[c]{d})")   → true
  balanced("(]")           → false
  balanced("([)]")         → false
  balanced("")             → true

Talk about
  - Which data structure makes this short?
  - What should happen with a closing bracket that nothing opened?
  - How would you report the position of the first mistake?`,
    response: `/**
 * Whether every bracket in \`text\` is closed by its own kind, in order.
 */
function balanced(text) {
  // your code here
}

console.log(balanced("a(b[c]{d})")); // true
console.log(balanced("([)]")); // false
`,
  },
  {
    title: "Rate limiter",
    language: "javascript",
    prompt: `Build a limiter that lets a client do at most \`limit\` things in any \`windowMs\` milliseconds.

  const limiter = createLimiter({ limit: 3, windowMs: 1000 });
  limiter.allow("ann", 0)     → true
  limiter.allow("ann", 100)   → true
  limiter.allow("ann", 200)   → true
  limiter.allow("ann", 300)   → false
  limiter.allow("bob", 300)   → true
  limiter.allow("ann", 1001)  → true

The second argument is the time in milliseconds; it never goes back.

Talk about
  - "Any window" is stricter than "each clock second". Where is the difference seen?
  - How much memory does a client cost, and when is it freed?
  - What would change with a thousand clients per second?`,
    response: `function createLimiter({ limit, windowMs }) {
  return {
    allow(client, now) {
      // your code here
    },
  };
}

const limiter = createLimiter({ limit: 3, windowMs: 1000 });
console.log([0, 100, 200, 300, 1001].map((time) => limiter.allow("ann", time)));
// [true, true, true, false, true]
`,
  },
  {
    title: "Merge the meetings",
    language: "python",
    prompt: `Given a list of meetings as (start, end) pairs, merge those that overlap or touch and return the busy times in order.

Examples
  merge([(9, 10), (12, 13)])            → [(9, 10), (12, 13)]
  merge([(9, 11), (10, 12)])            → [(9, 12)]
  merge([(13, 14), (9, 10), (10, 11)])  → [(9, 11), (13, 14)]
  merge([])                             → []

Talk about
  - Why does sorting first make the rest easy?
  - What are the costs in time and memory?
  - How would you find the free times of a day instead?`,
    response: `def merge(meetings):
    """Busy times in order; meetings that overlap or touch become one."""
    # your code here


print(merge([(13, 14), (9, 10), (10, 11)]))  # [(9, 11), (13, 14)]
`,
  },
  {
    title: "Least recently used",
    language: "python",
    prompt: `Write a cache that holds at most \`capacity\` entries. When it is full, the entry that was not used for the longest time makes room. Reading an entry uses it; so does writing it.

  cache = Cache(2)
  cache.put("a", 1)
  cache.put("b", 2)
  cache.get("a")      → 1
  cache.put("c", 3)   # "b" makes room
  cache.get("b")      → None
  cache.get("c")      → 3

Talk about
  - Both operations in constant time: which two structures together make it possible?
  - What does your language's standard library offer?
  - What should a capacity of 0 mean?`,
    response: `class Cache:
    """Holds at most \`capacity\` entries; the least recently used makes room."""

    def __init__(self, capacity):
        self.capacity = capacity

    def get(self, key):
        # your code here
        return None

    def put(self, key, value):
        # your code here
        pass


cache = Cache(2)
cache.put("a", 1)
cache.put("b", 2)
print(cache.get("a"))  # 1
cache.put("c", 3)
print(cache.get("b"))  # None
`,
  },
  {
    title: "Words around the corner",
    language: "javascript",
    prompt: `In a grid of letters, tell whether a word can be spelled by walking from letter to letter: up, down, left or right, using no cell twice.

  const grid = ["ABCE",
                "SFCS",
                "ADEE"];
  canSpell(grid, "ABCCED")  → true
  canSpell(grid, "SEE")     → true
  canSpell(grid, "ABCB")    → false

Talk about
  - How do you remember where you have been, and forget it when you turn back?
  - Which words can be refused before you take a single step?
  - How large may the grid become before this gets slow?`,
    response: `function canSpell(grid, word) {
  // your code here
}

const grid = ["ABCE", "SFCS", "ADEE"];
console.log(canSpell(grid, "ABCCED")); // true
console.log(canSpell(grid, "ABCB")); // false
`,
  },
];
