// Package lifecycle runs the parts of a process: it starts them in order, waits for a signal or a failure, and stops them in
// reverse within one deadline.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// DefaultStopTimeout is the time in which everything has to stop; it leaves a margin within the 45 s that the platform
	// grants.
	DefaultStopTimeout = 35 * time.Second
	// exitForced is the exit code after a second signal.
	exitForced = 130
)

// Options say how a group stops. Zero values take the defaults named here.
type Options struct {
	// Logger gets a line for each start and stop. Required.
	Logger *slog.Logger
	// Notice is the time between telling that the process is not ready and stopping the first part, so that whoever sends it
	// work can notice; 0 stops at once.
	Notice time.Duration
	// StopTimeout bounds the stopping of all parts together, after the notice; 0 is 35 s.
	StopTimeout time.Duration
	// Signals stop the group; nil is SIGTERM and an interrupt from the keyboard.
	Signals []os.Signal
	// Exit ends the process at once, after a second signal; nil is os.Exit.
	Exit func(code int)
}

// Group is the parts of one process.
type Group struct {
	o     Options
	parts []part
	ready atomic.Bool
	hooks []func()
}

type part struct {
	name string
	run  func(ctx context.Context) error
	stop func(ctx context.Context) error
}

// New makes an empty group.
func New(o Options) *Group {
	if o.StopTimeout == 0 {
		o.StopTimeout = DefaultStopTimeout
	}
	if o.Signals == nil {
		o.Signals = []os.Signal{syscall.SIGTERM, os.Interrupt}
	}
	if o.Exit == nil {
		o.Exit = os.Exit
	}
	return &Group{o: o}
}

// Add appends a part. Run works until its context ends or it has failed; a return of nil before that is a part that has done
// its work. Stop ends it in an orderly way before its context is ended. Either may be nil: a part without run is something to
// close, and one without stop ends with its context. Add everything before Run.
func (g *Group) Add(name string, run, stop func(ctx context.Context) error) {
	g.parts = append(g.parts, part{name: name, run: run, stop: stop})
}

// OnDrain adds what is called as soon as the group begins to stop, before the notice, such as the health service's Drain.
func (g *Group) OnDrain(hook func()) { g.hooks = append(g.hooks, hook) }

// Ready tells whether all parts have been started and none is being stopped.
func (g *Group) Ready() bool { return g.ready.Load() }

// Run starts the parts in order and returns once all have stopped: after a signal, after ctx has ended, or after a part has
// failed. It returns the failures of parts joined together, and nil after an orderly stop. A second signal ends the process
// at once.
func (g *Group) Run(ctx context.Context) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, g.o.Signals...)
	defer signal.Stop(signals)
	return g.run(ctx, signals)
}

func (g *Group) run(ctx context.Context, signals <-chan os.Signal) error {
	failed := make(chan struct{}, len(g.parts))
	started := make([]*running, 0, len(g.parts))
	for _, p := range g.parts {
		started = append(started, start(ctx, p, failed))
		g.o.Logger.InfoContext(ctx, "started", "part", p.name)
	}
	g.ready.Store(true)
	select {
	case <-ctx.Done():
		g.o.Logger.InfoContext(ctx, "stopping: the context has ended")
	case s := <-signals:
		g.o.Logger.InfoContext(ctx, "stopping: a signal came", "signal", s.String())
	case <-failed:
		g.o.Logger.ErrorContext(ctx, "stopping: a part has failed")
	}
	g.ready.Store(false)
	stopped := make(chan struct{})
	defer close(stopped)
	go g.exitOnSignal(ctx, signals, stopped)
	return g.stop(context.WithoutCancel(ctx), started, len(failed) > 0)
}

// exitOnSignal ends the process when a signal comes while it stops.
func (g *Group) exitOnSignal(ctx context.Context, signals <-chan os.Signal, stopped <-chan struct{}) {
	select {
	case s := <-signals:
		g.o.Logger.WarnContext(ctx, "exit at once: a second signal came", "signal", s.String())
		g.o.Exit(exitForced)
	case <-stopped:
	}
}

// stop tells, waits, and stops the parts in reverse within one deadline.
func (g *Group) stop(ctx context.Context, parts []*running, failed bool) error {
	for _, hook := range g.hooks {
		hook()
	}
	if g.o.Notice > 0 && !failed {
		timer := time.NewTimer(g.o.Notice)
		defer timer.Stop()
		<-timer.C
	}
	ctx, cancel := context.WithTimeout(ctx, g.o.StopTimeout)
	defer cancel()
	var failures []error
	for i := len(parts) - 1; i >= 0; i-- {
		if err := parts[i].end(ctx); err != nil {
			failures = append(failures, err)
			g.o.Logger.ErrorContext(ctx, "stopped with an error", "part", parts[i].part.name, "error", err)
			continue
		}
		g.o.Logger.InfoContext(ctx, "stopped", "part", parts[i].part.name)
	}
	return errors.Join(failures...)
}

// running is a part that has been started.
type running struct {
	part   part
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// start runs a part on a context that outlives ctx: parts end in reverse order, not all at once. It tells failed of an error.
func start(ctx context.Context, p part, failed chan<- struct{}) *running {
	r := &running{part: p, done: make(chan struct{})}
	if p.run == nil {
		r.cancel = func() {}
		close(r.done)
		return r
	}
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(r.done)
		if err := p.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			r.err = fmt.Errorf("run %s: %w", p.name, err)
			failed <- struct{}{}
		}
	}()
	return r
}

// end stops the part and waits for its run to return, or for the deadline.
func (r *running) end(ctx context.Context) error {
	var stopErr error
	if r.part.stop != nil {
		if err := r.part.stop(ctx); err != nil {
			stopErr = fmt.Errorf("stop %s: %w", r.part.name, err)
		}
	}
	r.cancel()
	select {
	case <-r.done:
		return errors.Join(r.err, stopErr)
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("stop %s: it is still running: %w", r.part.name, ctx.Err()), stopErr)
	}
}
