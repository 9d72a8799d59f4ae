//! Contests: contestants take turns in one process, so that what disturbs the machine disturbs all; best and median are printed.

use std::time::Instant;

/// One side. `pass` answers all calls once.
pub struct Contestant<'a> {
    name: String,
    /// Whether it is what we are compared with.
    rival: bool,
    pass: Box<dyn FnMut() + 'a>,
}

impl<'a> Contestant<'a> {
    /// One of ours.
    pub fn ours(name: impl Into<String>, pass: impl FnMut() + 'a) -> Self {
        Contestant { name: name.into(), rival: false, pass: Box::new(pass) }
    }

    /// What ours are compared with.
    pub fn rival(name: impl Into<String>, pass: impl FnMut() + 'a) -> Self {
        Contestant { name: name.into(), rival: true, pass: Box::new(pass) }
    }
}

/// Nanoseconds for one lookup.
#[derive(Clone, Copy, Debug)]
struct Times {
    best: f64,
    median: f64,
}

/// What a contest is about.
pub struct Contest<'t> {
    pub title: String,
    pub rounds: usize,
    /// The most of the best rival's time that each of ours may take.
    pub wanted: &'t [f64],
}

impl Contest<'_> {
    /// Runs all in turns and prints a table: times for one of the `lookups` of a pass, and those of ours over those of the best rival.
    pub fn run(&self, lookups: usize, mut contestants: Vec<Contestant<'_>>) {
        let mut samples = vec![Vec::with_capacity(self.rounds); contestants.len()];
        for round in 0..=self.rounds {
            for (contestant, samples) in contestants.iter_mut().zip(&mut samples) {
                let start = Instant::now();
                (contestant.pass)();
                let time = start.elapsed().as_nanos() as f64 / lookups as f64;
                // The first round warms caches and predictors.
                if round > 0 {
                    samples.push(time);
                }
            }
        }
        println!("{}", self.title);
        println!("  {:<34} {:>9} {:>9}", "nanoseconds for one", "best", "median");
        let times: Vec<Times> = samples.iter_mut().map(|s| times(s)).collect();
        for (contestant, times) in contestants.iter().zip(&times) {
            println!("  {:<34} {:>9.1} {:>9.1}", contestant.name, times.best, times.median);
        }
        let least = |f: fn(&Times) -> f64| {
            let rivals = contestants.iter().zip(&times).filter(|(c, _)| c.rival);
            rivals.map(|(_, t)| f(t)).fold(f64::INFINITY, f64::min)
        };
        let (best, median) = (least(|t| t.best), least(|t| t.median));
        let ours = contestants.iter().zip(&times).filter(|(c, _)| !c.rival);
        for (i, (contestant, times)) in ours.enumerate().filter(|_| best.is_finite()) {
            let wanted = self.wanted.get(i).map_or(String::new(), |w| format!("   wanted: at most {w:.2}"));
            let name = format!("{} / best rival", contestant.name);
            println!("  {name:<34} {:>9.3} {:>9.3}{wanted}", times.best / best, times.median / median);
        }
        println!();
    }
}

fn times(samples: &mut [f64]) -> Times {
    samples.sort_by(f64::total_cmp);
    Times { best: samples[0], median: samples[samples.len() / 2] }
}
