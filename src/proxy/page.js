// Looks at the page anew as soon as the branch stands elsewhere than the page says.
const mark = document.body.dataset.mark;
const events = new EventSource("/.well-known/drey/events");
const again = () => { events.close(); location.reload(); };
events.onmessage = (event) => { if (event.data !== mark) again(); };
events.onerror = () => { if (events.readyState === EventSource.CLOSED) setTimeout(again, 2000); };
