package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sys/unix"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs"
	"github.com/pcnfunding/pcnfunding/services/core"
	"github.com/pcnfunding/pcnfunding/services/devfund"
	"github.com/pcnfunding/pcnfunding/services/iif"
)

const (
	// lookEvery is how often what costs a query or a call is looked up, so that a scrape waits for none of it.
	lookEvery = 15 * time.Second
	// lookAgain is how soon after something could not be looked up, as when the process starts.
	lookAgain = 2 * time.Second
	// lookLimit bounds one round of that.
	lookLimit = 10 * time.Second
)

// What a call came to.
const (
	outcomeDone    = "done"
	outcomeAlready = "already" // nothing was done, for it had been done before
	outcomeRefused = "refused" // by what the caller sent or what stands
	outcomeFailed  = "failed"
)

// calls counts what the answers of the services say beyond their status.
type calls struct {
	refusals, closes, waiting, imports, rows metric.Int64Counter
}

// closers are the services that close months.
var closers = []string{core.Name, arrs.Name, iif.Name, devfund.Name}

// observeCalls returns what is told of each call of some services. It counts by what the suite decides, never by whom or what a call is
// about: no PCN, no person and no commissioner.
func observeCalls(meter metric.Meter, names []string) (func(ctx context.Context, method string, answer any, err error), error) {
	var c calls
	var errs []error
	for into, figure := range map[*metric.Int64Counter][2]string{
		&c.refusals: {"rpc_refusals_total", "Calls that were not served, by the reason that the caller was given."},
		&c.closes:   {"schedule_closes_total", "Closes of a month, by fund and what they came to."},
		&c.waiting:  {"schedule_refusals_total", "What schedules of closed months hold that could not be computed, by fund, payment and reason."},
		&c.imports:  {"imports_total", "Files sent to be taken in, by kind and what became of them."},
		&c.rows:     {"import_rows_total", "Rows of files taken in, by kind, stored or set aside."},
	} {
		counter, err := meter.Int64Counter(figure[0], metric.WithDescription(figure[1]))
		*into, errs = counter, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("make the figures of calls: %w", err)
	}
	for _, name := range names {
		if !slices.Contains(closers, name) {
			continue
		}
		// A counter that begins with its first failure never increases by it, and no alert would tell of it.
		for _, outcome := range []string{outcomeDone, outcomeRefused, outcomeFailed} {
			c.closes.Add(context.Background(), 0, metric.WithAttributes(attribute.String("service", name), attribute.String("outcome", outcome)))
		}
	}
	return c.observe, nil
}

func (c *calls) observe(ctx context.Context, method string, answer any, err error) {
	service, call := split(method)
	of := attribute.String("service", service)
	outcome := outcomeOf(err)
	if err != nil {
		reason := rpc.Status(err).Code().String()
		if f, ok := rpc.FaultOf(err); ok && f.Reason != "" {
			reason = f.Reason
		}
		c.refusals.Add(ctx, 1, metric.WithAttributes(of, attribute.String("reason", reason)))
	}
	switch {
	case call == "CloseMonth":
		c.closes.Add(ctx, 1, metric.WithAttributes(of, attribute.String("outcome", outcome)))
		if closed, ok := answer.(*typev1.PaymentSchedule); ok && err == nil {
			for _, refusal := range closed.GetRefusals() {
				c.waiting.Add(ctx, 1, metric.WithAttributes(of,
					attribute.String("payment_code", refusal.GetPaymentCode()), attribute.String("reason", refusal.GetReason())))
			}
		}
	case strings.HasPrefix(call, "Import"):
		file := readImport(answer)
		if err == nil && file.already {
			outcome = outcomeAlready
		}
		kind := attribute.String("kind", fileKind(call, file.kind))
		c.imports.Add(ctx, 1, metric.WithAttributes(of, kind, attribute.String("outcome", outcome)))
		if outcome == outcomeDone {
			c.rows.Add(ctx, file.stored, metric.WithAttributes(of, kind, attribute.String("outcome", "stored")))
			c.rows.Add(ctx, file.aside, metric.WithAttributes(of, kind, attribute.String("outcome", "set_aside")))
		}
	}
}

func outcomeOf(err error) string {
	if err == nil {
		return outcomeDone
	}
	if f, ok := rpc.FaultOf(err); ok && f.Kind != fault.Busy {
		return outcomeRefused
	}
	return outcomeFailed
}

// split returns the service and the call of a method such as /pcnfunding.core.v1.CoreService/CloseMonth.
func split(method string) (service, call string) {
	name, call, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	service = strings.TrimPrefix(name, "pcnfunding.")
	service, _, _ = strings.Cut(service, ".")
	return service, call
}

// imported is what the answer to an import says.
type imported struct {
	kind          string // empty where the call takes one kind only
	stored, aside int64
	already       bool
}

func readImport(answer any) imported {
	switch a := answer.(type) {
	case *registerv1.ImportResponse:
		return imported{a.GetLoad().GetKind().String(), a.GetLoad().GetRowsStored(), a.GetLoad().GetRowsQuarantined(), a.GetAlreadyLoaded()}
	case *arrsv1.ImportClaimsResponse:
		return imported{"", int64(a.GetRows()), 0, a.GetAlreadyImported()}
	case *arrsv1.ImportWorkforceResponse:
		return imported{"", int64(a.GetWorkforceImport().GetRows()), int64(len(a.GetBadRows())), a.GetAlreadyImported()}
	case *devfundv1.NeedImport:
		return imported{"", int64(a.GetPractices()), 0, false}
	case *iifv1.ImportCountsResponse:
		return imported{"", a.GetCountsImport().GetRows(), 0, a.GetAlreadyImported()}
	case *activityv1.ImportAttendancesResponse:
		return imported{"", a.GetAttendancesImport().GetRows(), 0, a.GetAlreadyImported()}
	case *paymentsv1.ImportResponse:
		file := a.GetFile()
		return imported{file.GetKind().String(), int64(file.GetRowsApplied()), int64(file.GetRowsUnmatched()), a.GetAlreadyImported()}
	}
	return imported{}
}

// fileKind names a kind of file; that of a file that was not taken in is known only where its call takes one kind.
func fileKind(call, kind string) string {
	if kind == "" {
		kind = strings.TrimPrefix(call, "Import")
	}
	if kind == "" {
		kind = "unknown"
	}
	return strings.ToLower(strings.TrimPrefix(kind, "FILE_KIND_"))
}

// looked is what was looked up last; what could not be is missing.
type looked struct {
	ready   bool
	seals   map[string]time.Duration // service → age of the oldest audit entry without a seal
	streams map[string]streamState
	disk    *diskState
}

type streamState struct{ messages, bytes, limit int64 }

type diskState struct{ free, size int64 }

// addMetrics adds the figures of the process itself, and of what its services share.
func (p *process) addMetrics(names []string) error {
	var mu sync.Mutex
	last := new(looked)
	err := p.measure(func() *looked {
		mu.Lock()
		defer mu.Unlock()
		return last
	})
	if err != nil {
		return fmt.Errorf("make the figures of the process: %w", err)
	}
	p.group.Add("figures", func(ctx context.Context) error {
		for {
			now, whole := p.look(ctx, names)
			mu.Lock()
			last = now
			mu.Unlock()
			wait := lookEvery
			if !whole {
				wait = lookAgain
			}
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
			}
		}
	}, nil)
	return nil
}

// look looks up what it can, and tells whether that was all and well.
func (p *process) look(ctx context.Context, names []string) (now *looked, whole bool) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	now = &looked{ready: p.ready(ctx) == nil, seals: make(map[string]time.Duration), streams: make(map[string]streamState)}
	whole = now.ready
	for _, name := range names {
		db := p.stores[name]
		if db == nil {
			continue
		}
		if age, err := audit.UnsealedAge(ctx, db); err == nil {
			now.seals[name] = age
		}
		if state, err := p.stream(ctx, name); err == nil {
			now.streams[bus.ServiceStream(name).Name] = state
		}
	}
	whole = whole && len(now.seals) == len(p.stores) && len(now.streams) == len(p.stores)
	if p.embeds() {
		var fs unix.Statfs_t
		if err := unix.Statfs(p.command.DataDir, &fs); err == nil {
			block := int64(fs.Bsize)                                                              //nolint:unconvert // its type differs between systems
			now.disk = &diskState{free: int64(fs.Bavail) * block, size: int64(fs.Blocks) * block} //nolint:gosec // a disk's size fits
		}
	}
	return now, whole
}

// embeds tells whether this process keeps data on a disk of its own.
func (p *process) embeds() bool {
	return len(p.stores) > 0 && (p.command.DatabaseURL == "" || p.command.NATS == "")
}

func (p *process) stream(ctx context.Context, service string) (streamState, error) {
	name := bus.ServiceStream(service).Name
	stream, err := p.buses[service].JetStream().Stream(ctx, name)
	if err != nil {
		return streamState{}, fmt.Errorf("look stream %s up: %w", name, err)
	}
	info := stream.CachedInfo() // fetched just now
	state := info.State
	return streamState{int64(state.Msgs), int64(state.Bytes), info.Config.MaxBytes}, nil //nolint:gosec // a stream's size fits
}

// measure makes the figures of what was looked up last.
func (p *process) measure(last func() *looked) error {
	meter := p.telling.Meter.Meter("process")
	var errs []error
	gauge := func(name, description string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge(name, metric.WithDescription(description))
		errs = append(errs, err)
		return g
	}
	build := gauge("pcnfunding_build_info", "Always 1; the version is in the labels.")
	ready := gauge("pcnfunding_ready", "1 while traffic may come, else 0.")
	messages := gauge("stream_messages", "Events that a stream holds.")
	bytes := gauge("stream_bytes", "Size of a stream.")
	limit := gauge("stream_limit_bytes", "Size at which a stream refuses events; not there for a stream without a limit of its own.")
	free := gauge("data_disk_free_bytes", "Room left on the disk of embedded stores; not there where the stores are elsewhere.")
	size := gauge("data_disk_size_bytes", "Size of the disk of embedded stores; not there where the stores are elsewhere.")
	age, err := meter.Float64ObservableGauge("audit_unsealed_oldest_age_seconds",
		metric.WithDescription("How long the oldest audit entry has waited for its seal."))
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := last()
		o.ObserveInt64(build, 1, metric.WithAttributes(attribute.String("version", version), attribute.String("go_version", runtime.Version())))
		up := int64(0)
		if now.ready {
			up = 1
		}
		o.ObserveInt64(ready, up)
		for service, waited := range now.seals {
			o.ObserveFloat64(age, waited.Seconds(), metric.WithAttributes(attribute.String("service", service)))
		}
		for name, state := range now.streams {
			of := metric.WithAttributes(attribute.String("stream", name))
			o.ObserveInt64(messages, state.messages, of)
			o.ObserveInt64(bytes, state.bytes, of)
			if state.limit > 0 {
				o.ObserveInt64(limit, state.limit, of)
			}
		}
		if now.disk != nil {
			o.ObserveInt64(free, now.disk.free)
			o.ObserveInt64(size, now.disk.size)
		}
		return nil
	}, build, ready, messages, bytes, limit, free, size, age)
	return err
}
