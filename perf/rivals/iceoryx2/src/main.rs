// The iceoryx2 side of this rival: what iceoryx2.cc calls.
use iceoryx2::port::backpressure_strategy::BackpressureStrategy;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::sample::Sample;
use iceoryx2::sample_mut_uninit::SampleMutUninit;
use iceoryx2::service::port_factory::{event, publish_subscribe};
use std::ffi::{c_char, c_int, CStr, CString};
use std::mem::MaybeUninit;
use std::time::Duration;

type Service = ipc::Service;
type Words = [u64];
type Messages = publish_subscribe::PortFactory<Service, Words, ()>;

#[repr(C)]
pub struct Options {
    name: *const c_char,
    scratch: *const c_char,
    payload_bytes: usize,
    queue_length: usize,
    sender_count: usize,
    receiver_count: usize,
    sleeps: bool,
}

extern "C" {
    fn iox2_failed(what: *const c_char) -> !;
    fn iox2_run(argc: c_int, argv: *mut *mut c_char) -> c_int;
}

// Ends the process when `result` is an error, and says which.
fn need<T, E: std::fmt::Debug>(result: Result<T, E>, what: &str) -> T {
    result.unwrap_or_else(|error| {
        let text = CString::new(format!("{what}: {error:?}")).unwrap();
        unsafe { iox2_failed(text.as_ptr()) }
    })
}

struct Base {
    _node: Node<Service>,
    messages: Messages,
    bell: Option<event::PortFactory<Service>>,
}

fn open_base(options: &Options) -> Base {
    set_log_level(LogLevel::Fatal);
    let name = unsafe { CStr::from_ptr(options.name) }.to_str().unwrap();
    // Its files bear the run's name and lie in the run's folder: nothing stays behind a crash.
    let mut config = Config::default();
    let scratch = unsafe { CStr::from_ptr(options.scratch) }.to_bytes();
    config.global.prefix = need(FileName::new(format!("{}-", name.rsplit_once('-').unwrap().0).as_bytes()), "prefix");
    config.global.set_root_path(&need(Path::new(scratch), "scratch"));
    let node = need(NodeBuilder::new().config(&config).create::<Service>(), "node");
    let service = need(ServiceName::new(name), "service name");
    let process_count = options.sender_count + options.receiver_count;
    let messages = need(
        node.service_builder(&service)
            .publish_subscribe::<Words>()
            .enable_safe_overflow(false)
            .history_size(0)
            .subscriber_max_buffer_size(options.queue_length)
            .subscriber_max_borrowed_samples(2)
            .max_publishers(options.sender_count)
            .max_subscribers(options.receiver_count)
            .max_nodes(process_count)
            .open_or_create(),
        "service",
    );
    let bell = options.sleeps.then(|| {
        let bell = node
            .service_builder(&service)
            .event()
            .max_notifiers(options.sender_count)
            .max_listeners(options.receiver_count)
            .max_nodes(process_count)
            .open_or_create();
        need(bell, "event service")
    });
    Base { _node: node, messages, bell }
}

pub struct Sender {
    loan: Option<SampleMutUninit<Service, [MaybeUninit<u64>], ()>>,
    publisher: Publisher<Service, Words, ()>,
    notifier: Option<Notifier<Service>>,
    word_count: usize,
    base: Base,
}

pub struct Receiver {
    taken: Option<Sample<Service, Words, ()>>,
    subscriber: Subscriber<Service, Words, ()>,
    listener: Option<Listener<Service>>,
    _base: Base,
}

#[no_mangle]
pub extern "C" fn iox2_sender_open(options: &Options) -> *mut Sender {
    let base = open_base(options);
    let word_count = options.payload_bytes / 8;
    let publisher = base
        .messages
        .publisher_builder()
        .initial_max_slice_len(word_count)
        .max_loaned_samples(1)
        .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
        .create();
    let publisher = need(publisher, "publisher");
    let notifier = base.bell.as_ref().map(|bell| need(bell.notifier_builder().create(), "notifier"));
    Box::into_raw(Box::new(Sender { loan: None, publisher, notifier, word_count, base }))
}

#[no_mangle]
pub extern "C" fn iox2_sender_receiver_count(sender: &Sender) -> usize {
    let listener_count = match &sender.base.bell {
        Some(bell) => bell.dynamic_config().number_of_listeners(),
        None => usize::MAX,
    };
    listener_count.min(sender.base.messages.dynamic_config().number_of_subscribers())
}

#[no_mangle]
pub extern "C" fn iox2_sender_loan(sender: &mut Sender) -> *mut u8 {
    match sender.publisher.loan_slice_uninit(sender.word_count) {
        Ok(mut loan) => {
            let start = loan.payload_mut().as_mut_ptr();
            sender.loan = Some(loan);
            start.cast()
        }
        Err(_) => std::ptr::null_mut(),
    }
}

#[no_mangle]
pub extern "C" fn iox2_sender_send(sender: &mut Sender) {
    if let Some(loan) = sender.loan.take() {
        need(unsafe { loan.assume_init() }.send(), "send");
    }
    if let Some(notifier) = &sender.notifier {
        need(notifier.notify(), "notify");
    }
}

/// # Safety
/// `sender` is of iox2_sender_open and not used again.
#[no_mangle]
pub unsafe extern "C" fn iox2_sender_close(sender: *mut Sender) {
    drop(Box::from_raw(sender));
}

#[no_mangle]
pub extern "C" fn iox2_receiver_open(options: &Options) -> *mut Receiver {
    let base = open_base(options);
    let subscriber = base.messages.subscriber_builder().buffer_size(options.queue_length).create();
    let subscriber = need(subscriber, "subscriber");
    let listener = base.bell.as_ref().map(|bell| need(bell.listener_builder().create(), "listener"));
    Box::into_raw(Box::new(Receiver { taken: None, subscriber, listener, _base: base }))
}

#[no_mangle]
pub extern "C" fn iox2_receiver_take(receiver: &mut Receiver) -> *const u8 {
    receiver.taken = need(receiver.subscriber.receive(), "receive");
    match &receiver.taken {
        Some(sample) => sample.payload().as_ptr().cast(),
        None => std::ptr::null(),
    }
}

#[no_mangle]
pub extern "C" fn iox2_receiver_release(receiver: &mut Receiver) {
    receiver.taken = None;
}

#[no_mangle]
pub extern "C" fn iox2_receiver_wait(receiver: &mut Receiver) {
    if let Some(listener) = &receiver.listener {
        let _ = listener.timed_wait(|_| {}, Duration::from_millis(100));
    }
}

/// # Safety
/// `receiver` is of iox2_receiver_open and not used again.
#[no_mangle]
pub unsafe extern "C" fn iox2_receiver_close(receiver: *mut Receiver) {
    drop(Box::from_raw(receiver));
}

fn main() {
    let words: Vec<CString> = std::env::args().map(|word| CString::new(word).unwrap()).collect();
    let mut argv: Vec<*mut c_char> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
    std::process::exit(unsafe { iox2_run(argv.len() as c_int, argv.as_mut_ptr()) });
}
