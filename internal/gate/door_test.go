package gate

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// pathPost is where the service of these tests takes bodies.
const pathPost = "/posts"

// door is a small service behind a guard: it takes bodies at one path, answers
// probes, and panics where it is asked to.
type door struct {
	*Guard

	echo     *echo.Echo
	registry *prometheus.Registry
	logged   *caller.Log
}

func testOptions() Options {
	return Options{
		Exposure: DefaultExposure(), Rates: DefaultRates(), LargestBody: 4 << 20,
		Service: "test", Routes: []string{"posts", "readyz", "panic"},
		Methods: []string{http.MethodGet, http.MethodPost}, Headers: []string{"X-API-Key"},
		Wording: Wording{Action: "post", Assurance: "Nothing is stored. ", Again: "the same bytes"},
	}
}

func testDeps(registry prometheus.Registerer, logged *caller.Log) Deps {
	return Deps{
		Authenticate: caller.Authenticate,
		Log:          logged.Logger(),
		Registerer:   registry,
		Panics:       prometheus.NewCounter(prometheus.CounterOpts{Name: "panics_total", Help: "Panics."}),
		Now:          caller.Now,
	}
}

// newDoor makes a service; adjust changes what its guard is told.
func newDoor(t testing.TB, adjust ...func(*Deps, *Options)) *door {
	t.Helper()
	d := &door{echo: echo.New(), registry: prometheus.NewRegistry(), logged: new(caller.Log)}
	deps, options := testDeps(d.registry, d.logged), testOptions()
	for _, change := range adjust {
		change(&deps, &options)
	}
	var err error
	if d.Guard, err = New(deps, options); err != nil {
		t.Fatal(err)
	}
	d.echo.Pre(d.Secure())
	d.echo.Use(d.CrossOrigin())
	d.echo.HTTPErrorHandler = func(err error, c echo.Context) {
		_ = d.serve(RouteOther, func(*Exchange) error {
			if errors.Is(err, echo.ErrNotFound) {
				return Refused(NotFound, "There is nothing.")
			}
			return err
		})(c)
	}
	d.echo.POST(pathPost, d.serve("posts", d.take))
	d.echo.OPTIONS(pathPost, d.serve("posts", func(x *Exchange) error {
		x.Offer("POST")
		return nil
	}))
	d.echo.GET("/livez", d.serve(RouteLive, func(x *Exchange) error { return x.Show(http.StatusOK, map[string]string{"status": "alive"}) }))
	d.echo.GET("/readyz", d.serve("readyz", func(x *Exchange) error {
		return x.Show(http.StatusServiceUnavailable, map[string]string{"status": "not_ready"})
	}))
	d.echo.GET("/panic", d.serve("panic", func(*Exchange) error { panic("on purpose") }))
	return d
}

func (d *door) serve(route string, h func(*Exchange) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		x := new(Exchange)
		d.Enter(x, c, route)
		defer func() {
			if p := recover(); p != nil {
				d.Panicked(x, p)
			}
			d.Leave(x, slog.String("more", "of it"))
		}()
		err := d.Screen(x)
		if err == nil {
			err = h(x)
		}
		if err != nil {
			d.Refuse(x, err)
		}
		return nil
	}
}

// take reads a body as a service does: paid for before, settled after.
func (d *door) take(x *Exchange) error {
	if err := d.Authenticate(x); err != nil {
		return err
	}
	if err := x.TakeBytes(x.Request.ContentLength); err != nil {
		return err
	}
	body, err := io.ReadAll(x.Request.Body)
	x.BodyOver = true
	if err != nil {
		x.Vanished = true
		return err
	}
	x.Settle(int64(len(body)))
	return x.Show(http.StatusAccepted, map[string]string{"tenant": x.Tenant, "key_id": x.KeyID})
}

// Handler is the whole service.
func (d *door) Handler() http.Handler { return d.echo }

// timed makes a service with rates that a test reaches, and its clock.
func timed(t testing.TB, change func(*Rates), more ...func(*Deps, *Options)) (*door, *caller.Clock) {
	t.Helper()
	now := caller.NewClock(caller.Now())
	adjust := func(d *Deps, o *Options) {
		d.Now = now.Now
		change(&o.Rates)
	}
	return newDoor(t, append([]func(*Deps, *Options){adjust}, more...)...), now
}

// send makes a request with headers in pairs and checks what holds for every
// answer.
func (d *door) send(t testing.TB, method, target, body string, header ...string) caller.Answer {
	t.Helper()
	return d.sendFrom(t, "192.0.2.1:1234", method, target, body, header...)
}

func (d *door) sendFrom(t testing.TB, from, method, target, body string, header ...string) caller.Answer {
	t.Helper()
	return caller.Call(t, d.Handler(), from, method, target, body, header...)
}

// sends a post from an address, with a key.
func (d *door) sends(t testing.TB, from, key, body string, header ...string) caller.Answer {
	t.Helper()
	return d.sendFrom(t, from, http.MethodPost, pathPost, body, append([]string{"X-Api-Key", key}, header...)...)
}

// head is the beginning of a post up to the headers given.
func head(headers ...string) string {
	return "POST " + pathPost + " HTTP/1.1\r\nHost: test\r\nX-API-Key: " + caller.Key + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
}
