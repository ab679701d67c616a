//! Counting what is allocated.

/// Defines a global allocator for this test binary, and `fn allocations<T>(work: impl FnOnce() -> T) -> (T, u64)`, which
/// counts how often this thread allocates or grows memory meanwhile.
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
            }

            struct Counting;

            fn count() {
                // The thread may be ending, and its counter gone.
                let _ = COUNT.try_with(|count| count.set(count.get() + 1));
            }

            // SAFETY: each call is handed on to the system's allocator as it is.
            unsafe impl GlobalAlloc for Counting {
                unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
                    count();
                    unsafe { System.alloc(layout) }
                }

                unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
                    count();
                    unsafe { System.alloc_zeroed(layout) }
                }

                unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
                    count();
                    unsafe { System.realloc(ptr, layout, new_size) }
                }

                unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
                    unsafe { System.dealloc(ptr, layout) }
                }
            }

            #[global_allocator]
            static ALLOCATOR: Counting = Counting;

            pub(crate) fn allocations<T>(work: impl FnOnce() -> T) -> (T, u64) {
                let before = COUNT.get();
                let result = work();
                (result, COUNT.get() - before)
            }
        }
        use counting::allocations;
    };
}
