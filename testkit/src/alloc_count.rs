//! Counting what is allocated.

/// Defines a global allocator for this test binary, and two functions: `allocations<T>(work: impl FnOnce() -> T) -> (T, u64)`
/// counts how often this thread allocates or grows memory meanwhile, `held<T>(work: ...) -> (T, i64)` how many bytes more
/// it then holds.
///
/// A macro, because implementing an allocator takes `unsafe`, which this crate forbids itself.
#[macro_export]
macro_rules! count_allocations {
    () => {
        mod counting {
            use std::alloc::{GlobalAlloc, Layout, System};
            use std::cell::Cell;

            thread_local! {
                static COUNT: Cell<u64> = const { Cell::new(0) };
                static HELD: Cell<i64> = const { Cell::new(0) };
            }

            struct Counting;

            fn count(bytes: i64) {
                // The thread may be ending, and its counters gone.
                let _ = COUNT.try_with(|count| count.set(count.get() + 1));
                hold(bytes);
            }

            fn hold(bytes: i64) {
                let _ = HELD.try_with(|held| held.set(held.get() + bytes));
            }

            // SAFETY: each call is handed on to the system's allocator as it is.
            unsafe impl GlobalAlloc for Counting {
                unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
                    count(layout.size() as i64);
                    unsafe { System.alloc(layout) }
                }

                unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
                    count(layout.size() as i64);
                    unsafe { System.alloc_zeroed(layout) }
                }

                unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
                    count(new_size as i64 - layout.size() as i64);
                    unsafe { System.realloc(ptr, layout, new_size) }
                }

                unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
                    hold(-(layout.size() as i64));
                    unsafe { System.dealloc(ptr, layout) }
                }
            }

            #[global_allocator]
            static ALLOCATOR: Counting = Counting;

            #[allow(dead_code, reason = "a test may need but the other")]
            pub(crate) fn allocations<T>(work: impl FnOnce() -> T) -> (T, u64) {
                let before = COUNT.get();
                let result = work();
                (result, COUNT.get() - before)
            }

            #[allow(dead_code, reason = "a test may need but the other")]
            pub(crate) fn held<T>(work: impl FnOnce() -> T) -> (T, i64) {
                let before = HELD.get();
                let result = work();
                (result, HELD.get() - before)
            }
        }
        #[allow(unused_imports, reason = "a test may need but one of them")]
        use counting::{allocations, held};
    };
}
